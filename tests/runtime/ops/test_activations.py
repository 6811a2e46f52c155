"""Scores from logits, and the best of them."""

from __future__ import annotations

import numpy as np
import pytest

from hearth.ops.activations import activate, top_indices

LOGITS = np.array([[0.0, 1.0, 2.0], [1000.0, -1000.0, 999.0]], np.float32)


def test_softmax_sums_to_one_and_does_not_overflow() -> None:
    scores = activate(LOGITS, "softmax")
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=-1), 1, rtol=1e-6)
    np.testing.assert_allclose(scores[0], np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum(), rtol=1e-6)
    np.testing.assert_allclose(scores[1], [0.731059, 0, 0.268941], atol=1e-6)


def test_sigmoid_is_of_each_logit_and_does_not_overflow() -> None:
    scores = activate(LOGITS, "sigmoid")
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores[0], [0.5, 0.731059, 0.880797], rtol=1e-5)
    np.testing.assert_allclose(scores[1], [1, 0, 1], atol=1e-6)


def test_none_leaves_the_logits() -> None:
    assert activate(LOGITS, "none") is LOGITS


@pytest.mark.parametrize(("count", "expected"), [(1, [2]), (2, [2, 1]), (9, [2, 1, 0])])
def test_the_best_come_first(count: int, expected: list[int]) -> None:
    assert top_indices(LOGITS[0], count) == expected
    assert top_indices(LOGITS, count) == [expected, [0, 2, 1][:count]]


def test_ties_keep_their_order() -> None:
    assert top_indices(np.array([1, 2, 2, 1], np.float32), 4) == [1, 2, 0, 3]
