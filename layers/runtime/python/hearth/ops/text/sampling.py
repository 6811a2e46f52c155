"""Sampling the next token of a language model from its logits: penalties, temperature, top-k, top-p, min-p.

Each follows the logits processor of `transformers`; presence and frequency penalties follow OpenAI's definition.
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
    """Lower the logits (vocabulary,) of tokens that occurred already.

    `seen` (bool) marks the tokens of prompt and answer: `repetition` divides their logits, or multiplies negative ones.
    `counts` has how often each token occurs in the answer: it loses `presence` once and `frequency` per occurrence.
    """
    if repetition != 1:
        repeated = np.where(logits > 0, logits / repetition, logits * repetition)
        logits = np.where(seen, repeated, logits)
    if presence or frequency:
        logits = logits - presence * (counts > 0) - frequency * counts
    return logits


def candidates(
    logits: Array,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float = 0.0,
) -> tuple[Array, Array]:
    """Tokens that may come next, and their probabilities, which add up to 1.

    top_k keeps that many of the likeliest tokens (and those as likely as the last of them). top_p then keeps the
    smallest set of the likeliest whose probabilities add up to it, at threshold one token, and min_p those that are at
    least that likely relative to the likeliest.
    """
    tokens = np.arange(len(logits))
    if top_k is not None and top_k < len(logits):
        threshold = np.partition(logits, -top_k)[-top_k]
        tokens = np.flatnonzero(logits >= threshold)
    logits = logits[tokens].astype(np.float64)
    with np.errstate(over="ignore"):  # a temperature near zero leaves only the likeliest token
        powers = np.exp((logits - logits.max()) / temperature)
    probabilities = powers / powers.sum()
    if top_p is not None and top_p < 1:
        order = np.argsort(-probabilities, kind="stable")
        order = order[: np.searchsorted(np.cumsum(probabilities[order]), top_p) + 1]
        tokens, probabilities = tokens[order], probabilities[order] / probabilities[order].sum()
    if min_p > 0:
        likely = probabilities >= min_p * probabilities.max()
        tokens, probabilities = tokens[likely], probabilities[likely] / probabilities[likely].sum()
    return tokens, probabilities


def draw(tokens: Array, probabilities: Array, random: np.random.Generator) -> int:
    """One of `tokens`, chosen with one number from `random`."""
    index = int(np.searchsorted(np.cumsum(probabilities), random.random(), side="right"))
    return int(tokens[min(index, len(tokens) - 1)])
