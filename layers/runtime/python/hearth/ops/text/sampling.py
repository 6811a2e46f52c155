"""The next token of a language model, from its logits: penalties, temperature, top-k, top-p, a draw.

Each follows the definition in `transformers` (logits processors); presence and frequency follow OpenAI's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def log_probabilities(logits: Array) -> Array:
    """Log-softmax over the last axis."""
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))  # type: ignore[no-any-return]


def penalise(
    logits: Array, seen: Array, counts: Array, repetition: float = 1.0, presence: float = 0.0, frequency: float = 0.0
) -> Array:
    """Logits (vocabulary,) made less of what there was already.

    `seen` (bool) are the tokens of prompt and answer, whose logits `repetition` divides, or multiplies where they are
    negative; `counts` are those of the answer, of which each loses `presence` once and `frequency` each time.
    """
    if repetition != 1:
        repeated = np.where(logits > 0, logits / repetition, logits * repetition)
        logits = np.where(seen, repeated, logits)
    if presence or frequency:
        logits = logits - presence * (counts > 0) - frequency * counts
    return logits


def candidates(
    logits: Array, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> tuple[Array, Array]:
    """Tokens that may come next, and their probabilities, which add up to 1.

    top_k keeps as many of the likeliest (and those as likely as the last of them); top_p then the fewest of the
    likeliest that reach it together, one at least.
    """
    tokens = np.arange(len(logits))
    if top_k is not None and top_k < len(logits):
        least = np.partition(logits, -top_k)[-top_k]
        tokens = np.flatnonzero(logits >= least)
    logits = logits[tokens].astype(np.float64)
    with np.errstate(over="ignore"):  # a temperature of next to nothing leaves the likeliest alone
        powers = np.exp((logits - logits.max()) / temperature)
    probabilities = powers / powers.sum()
    if top_p is not None and top_p < 1:
        order = np.argsort(-probabilities, kind="stable")
        order = order[: np.searchsorted(np.cumsum(probabilities[order]), top_p) + 1]
        tokens, probabilities = tokens[order], probabilities[order] / probabilities[order].sum()
    return tokens, probabilities


def draw(tokens: Array, probabilities: Array, random: np.random.Generator) -> int:
    """One of `tokens`, by one number of `random`."""
    place = int(np.searchsorted(np.cumsum(probabilities), random.random(), side="right"))
    return int(tokens[min(place, len(tokens) - 1)])
