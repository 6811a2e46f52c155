"""The nearest of many vectors, and analogies between them (Mikolov et al. 2013, as gensim's `most_similar`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]

ROWS = 8192
"""Vectors that are compared at once: what memory it takes does not depend on how many there are."""


def nearest(
    vectors: Callable[[np.ndarray[Any, Any]], Array],
    total: int,
    positive: Sequence[int],
    negative: Sequence[int],
    left_out: int,
    count: int,
) -> list[tuple[int, float]]:
    """The `count` of `total` vectors nearest by cosine to the mean of unit vectors, negative ones turned round.

    `vectors` gives those of int64 numbers, (count, size), each of length one or zero. The vectors asked about are not
    among the answers, nor is `left_out`. Best first, equal ones in their own order.
    """
    asked = [*positive, *negative]
    signs = np.array([1] * len(positive) + [-1] * len(negative), np.float32)
    wanted = signs @ vectors(np.array(asked, np.int64))  # (size,)
    wanted /= max(float(np.linalg.norm(wanted)), 1e-12)
    parts = [vectors(np.arange(start, min(start + ROWS, total))) @ wanted for start in range(0, total, ROWS)]
    scores = np.concatenate(parts)  # (total,)
    hidden = {left_out, *asked}
    scores[list(hidden)] = -np.inf
    best = np.argsort(-scores, kind="stable")[: min(count, total - len(hidden))]
    return [(int(number), float(scores[number])) for number in best]
