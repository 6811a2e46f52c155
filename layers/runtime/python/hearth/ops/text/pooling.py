"""Pools one vector per token into one per text, and compares vectors by their cosine."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]
Mask = np.ndarray[Any, np.dtype[np.int64]]

MIN_LENGTH = 1e-12
"""Vectors shorter than this stay as they are: their direction is undefined."""


def pool(tokens: Array, mask: Mask, method: str) -> Array:
    """(batch, sequence, size) -> (batch, size): the mean of the tokens in `mask`, or with `cls` the first token.

    With `none`, `tokens` is (batch, size) already. A row without any token is zero.
    """
    if method == "none":
        return tokens
    if method == "cls":
        first: Array = tokens[:, 0]
        return first
    counted: Array = mask.astype(np.float32)
    mean: Array = np.einsum("bsd,bs->bd", tokens, counted) / np.maximum(counted.sum(axis=1, keepdims=True), 1)
    return mean


def normalise(vectors: Array) -> Array:
    """Scale each vector of the last axis to length one; zero stays zero."""
    lengths: Array = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(lengths > MIN_LENGTH, vectors / np.maximum(lengths, MIN_LENGTH), vectors)


def cosine(vector: Array, others: Array) -> Array:
    """(size,) and (count, size) -> (count,): 1 for the same direction, 0 where either vector is zero."""
    similarities: Array = normalise(others) @ normalise(vector)
    return similarities
