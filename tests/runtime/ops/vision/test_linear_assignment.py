"""Linear assignment: the same total cost as an exhaustive search, and as SciPy's."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.optimize

from hearth.ops.vision.linear_assignment import linear_sum_assignment

Array = np.ndarray[Any, np.dtype[np.float64]]


def total(cost: Array) -> float:
    rows, columns = linear_sum_assignment(cost)
    assert len(rows) == len(columns) == min(cost.shape)
    assert len(set(rows.tolist())) == len(rows)
    assert len(set(columns.tolist())) == len(columns)
    assert (np.diff(rows) > 0).all()
    return float(cost[rows, columns].sum())


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 3), (3, 5), (5, 3), (6, 6)])
def test_no_permutation_is_cheaper_than_the_assignment(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        cost = random.normal(size=shape)
        wide = cost if shape[0] <= shape[1] else cost.T
        minimum = min(
            sum(wide[row, column] for row, column in enumerate(order))
            for order in itertools.permutations(range(wide.shape[1]), wide.shape[0])
        )
        assert total(cost) == pytest.approx(minimum)


@pytest.mark.parametrize("shape", [(40, 40), (25, 60), (60, 25)])
@pytest.mark.parametrize("kind", ["any", "few values", "mostly zero"])
def test_the_total_cost_equals_scipys(shape: tuple[int, int], kind: str) -> None:
    random = np.random.default_rng(1)
    cost = random.normal(size=shape)
    if kind == "few values":  # ties everywhere
        cost = np.round(cost)
    if kind == "mostly zero":  # overlaps of boxes
        cost = np.minimum(cost + 1, 0)
    assert total(cost) == pytest.approx(cost[scipy.optimize.linear_sum_assignment(cost)].sum())


def test_an_empty_cost_matrix_has_no_assignment() -> None:
    for shape in ((0, 0), (0, 3), (3, 0)):
        rows, columns = linear_sum_assignment(np.zeros(shape))
        assert len(rows) == len(columns) == 0


def test_an_infinite_cost_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        linear_sum_assignment(np.array([[0.0, np.inf]]))
