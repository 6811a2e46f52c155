"""From a vector a token to one a text, and what vectors are compared by."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]
Mask = np.ndarray[Any, np.dtype[np.int64]]

SMALLEST = 1e-12
"""A vector shorter than this stays as it is: nothing says where it points."""


def pool(tokens: Array, mask: Mask, method: str) -> Array:
    """(batch, sequence, size) -> (batch, size): the mean of the tokens that `mask` counts, or with `cls` the first.

    A row that counts no token is zero.
    """
    if method == "cls":
        first: Array = tokens[:, 0]
        return first
    counted: Array = mask.astype(np.float32)
    mean: Array = np.einsum("bsd,bs->bd", tokens, counted) / np.maximum(counted.sum(axis=1, keepdims=True), 1)
    return mean


def normalise(vectors: Array) -> Array:
    """Each vector of the last axis to length one; zero stays zero."""
    lengths: Array = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(lengths > SMALLEST, vectors / np.maximum(lengths, SMALLEST), vectors)


def cosine(one: Array, others: Array) -> Array:
    """(size,) and (count, size) -> (count,): 1 for the same direction, 0 where either vector is zero."""
    likeness: Array = normalise(others) @ normalise(one)
    return likeness
