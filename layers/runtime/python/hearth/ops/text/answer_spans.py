"""The best spans of tokens as answers, ranked as transformers' question-answering pipeline ranked them (4.x, whose
`decode_spans` goes back to DrQA, Chen et al. 2017): a span's score is the product of the probabilities of its ends."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Span = tuple[int, int, float]
"""First token, last token, score."""
MASKED = -10000.0


def mask_logits(logits: Array, context: Array) -> Array:
    """Logits (tokens,) that leave a softmax to where an answer may lie, and to the first token: there is no answer."""
    allowed = context.copy()
    allowed[0] = True
    return np.where(allowed, logits, MASKED).astype(np.float32)


def best_spans(start: Array, end: Array, context: Array, count: int, max_tokens: int) -> list[Span]:
    """The `count` best of probabilities (tokens,), best first: in the context, up to `max_tokens` tokens long."""
    inside = context.astype(np.float32)
    inside[0] = 0
    scores = np.tril(np.triu(np.outer(start * inside, end * inside)), max_tokens - 1)  # (first, last)
    flat = scores.ravel()
    chosen = np.argpartition(-flat, count)[:count] if count < len(flat) else np.arange(len(flat))
    ordered = chosen[np.argsort(-flat[chosen], kind="stable")]
    width = len(start)
    return [(int(at) // width, int(at) % width, float(flat[at])) for at in ordered if flat[at] > 0]
