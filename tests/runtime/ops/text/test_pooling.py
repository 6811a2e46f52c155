"""Pooling, cosine similarity and nearest words against values worked out by hand."""

from __future__ import annotations

import numpy as np

from hearth.ops.text.pooling import cosine, normalise, pool

TOKENS = np.array([[[1, 2], [3, 4], [90, 90]], [[5, 6], [90, 90], [90, 90]]], np.float32)
MASK = np.array([[1, 1, 0], [1, 0, 0]])


def test_the_mean_ignores_masked_tokens() -> None:
    np.testing.assert_array_equal(pool(TOKENS, MASK, "mean"), [[2, 3], [5, 6]])
    np.testing.assert_array_equal(pool(TOKENS, np.zeros_like(MASK), "mean"), np.zeros((2, 2)))


def test_cls_pooling_takes_the_first_token() -> None:
    np.testing.assert_array_equal(pool(TOKENS, MASK, "cls"), [[1, 2], [5, 6]])


def test_vectors_are_normalised_and_zero_stays_zero() -> None:
    actual = normalise(np.array([[3, 4], [0, 0], [0, -1e-3], [1e15, 0]], np.float32))
    np.testing.assert_allclose(actual, [[0.6, 0.8], [0, 0], [0, -1], [1, 0]], atol=1e-6)
    assert actual.dtype == np.float32


def test_cosine_similarity() -> None:
    others = np.array([[2, 0], [0, 5], [-1, 0], [3, 3], [0, 0]], np.float32)
    actual = cosine(np.array([7, 0], np.float32), others)
    np.testing.assert_allclose(actual, [1, 0, -1, 0.5**0.5, 0], atol=1e-6)
