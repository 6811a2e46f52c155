"""Nearest words and analogies."""

from __future__ import annotations

import numpy as np
import pytest

from hearth.ops.text.nearest_words import BLOCK_ROWS, nearest
from hearth.ops.text.pooling import normalise


@pytest.mark.parametrize("total", [10, BLOCK_ROWS - 1, BLOCK_ROWS, 2 * BLOCK_ROWS + 3])
def test_nearest_words_of_any_number_of_vectors(total: int) -> None:
    table = normalise(np.random.default_rng(total).normal(size=(total, 8)).astype(np.float32))
    neighbours = nearest(lambda numbers: table[numbers], total, [3, 5], [7], 0, 4)
    scores = table @ normalise(table[3] + table[5] - table[7])
    expected = [number for number in np.argsort(-scores) if number not in (0, 3, 5, 7)][:4]
    assert [number for number, _ in neighbours] == expected
    np.testing.assert_allclose([score for _, score in neighbours], scores[expected], atol=1e-6)


def test_more_neighbours_than_vectors_returns_all_others() -> None:
    table = np.eye(5, dtype=np.float32)
    assert [number for number, _ in nearest(lambda numbers: table[numbers], 5, [2], [], 0, 99)] == [1, 3, 4]
