"""The vectors nearest to a query, and analogies between words (Mikolov et al. 2013, as gensim's `most_similar`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]

BLOCK_ROWS = 8192
"""Number of vectors compared at once, so that memory does not depend on the size of the vocabulary."""


def nearest(
    vectors: Callable[[np.ndarray[Any, Any]], Array],
    total: int,
    positive: Sequence[int],
    negative: Sequence[int],
    excluded: int,
    count: int,
) -> list[tuple[int, float]]:
    """The `count` of `total` vectors nearest by cosine to the mean of the positive and the negated negative vectors.

    `vectors` maps int64 ids to vectors (count, size), each of length one or zero. Neither the positive and negative ids
    nor `excluded` are among the results. Best first; ties keep their order.
    """
    query_ids = [*positive, *negative]
    signs = np.array([1] * len(positive) + [-1] * len(negative), np.float32)
    query = signs @ vectors(np.array(query_ids, np.int64))  # (size,)
    query /= max(float(np.linalg.norm(query)), 1e-12)
    blocks = [
        vectors(np.arange(start, min(start + BLOCK_ROWS, total))) @ query for start in range(0, total, BLOCK_ROWS)
    ]
    scores = np.concatenate(blocks)  # (total,)
    excluded_ids = {excluded, *query_ids}
    scores[list(excluded_ids)] = -np.inf
    best = np.argsort(-scores, kind="stable")[: min(count, total - len(excluded_ids))]
    return [(int(index), float(scores[index])) for index in best]
