"""The best spans of tokens as answers, ranked as in transformers' question-answering pipeline (4.x, whose
`decode_spans` goes back to DrQA, Chen et al. 2017): a span's score is the product of the probabilities of its ends."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Span = tuple[int, int, float]
"""First token, last token, score."""
MASKED_LOGIT = -10000.0


def mask_logits(logits: Array, context: Array) -> Array:
    """Logits (tokens,) that are masked outside the context, except for the first token, which means no answer."""
    allowed = context.copy()
    allowed[0] = True
    return np.where(allowed, logits, MASKED_LOGIT).astype(np.float32)


def best_spans(start: Array, end: Array, context: Array, count: int, max_tokens: int) -> list[Span]:
    """The `count` best spans by probabilities (tokens,), best first: in the context, up to `max_tokens` tokens long."""
    allowed = context.astype(np.float32)
    allowed[0] = 0
    scores = np.tril(np.triu(np.outer(start * allowed, end * allowed)), max_tokens - 1)  # (first, last)
    flat = scores.ravel()
    candidates = np.argpartition(-flat, count)[:count] if count < len(flat) else np.arange(len(flat))
    ordered = candidates[np.argsort(-flat[candidates], kind="stable")]
    width = len(start)
    return [(int(index) // width, int(index) % width, float(flat[index])) for index in ordered if flat[index] > 0]
