"""Shapley values are those of their definition, sum to the score, and are exact for linear scores."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearth.ops.attribution import Floats, Masks
from hearth.ops.shapley import EXACT, SAMPLED, shapley


def game(units: int, seed: int) -> tuple[list[int], object]:
    """A score with dependent units, and the list of the numbers of its runs."""
    generator = np.random.default_rng(seed)
    weights, pairs = generator.normal(size=units), generator.normal(size=(units, units))
    rows: list[int] = []

    def score(masks: Masks) -> Floats:
        rows.append(len(masks))
        return np.tanh(masks @ weights + np.einsum("ni,ij,nj->n", masks, pairs, masks))

    return rows, score


def by_definition(score: object, units: int) -> Floats:
    """The mean over all orders of what each unit changes when it is added."""
    values = np.zeros(units)
    orders = [*permutations(range(units))]
    for order in orders:
        mask = np.zeros(units, bool)
        for unit in order:
            before = score(mask[None])[0]  # type: ignore[operator]
            mask[unit] = True
            values[unit] += (score(mask[None])[0] - before) / len(orders)  # type: ignore[operator]
    return values


@pytest.mark.parametrize("units", [1, 2, 3, 5])
def test_with_a_run_for_each_subset_they_are_those_of_the_definition(units: int) -> None:
    _, score = game(units, 7)
    result = shapley(score, units, 2**units)  # type: ignore[arg-type]
    assert result.method == EXACT
    assert result.runs == 2**units
    assert np.allclose(result.values, by_definition(score, units))
    assert not result.errors.any()


@given(st.integers(1, 12), st.integers(4, 300), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_values_sum_to_the_difference_of_the_scores(units: int, runs: int, seed: int) -> None:
    rows, score = game(units, seed)
    result = shapley(score, units, runs)  # type: ignore[arg-type]
    assert np.isclose(result.values.sum(), result.score - result.base_score)
    assert sum(rows) == result.runs <= max(runs, 2 * units)
    assert np.array_equal(result.values, shapley(score, units, runs).values)  # type: ignore[arg-type]


def test_samples_come_near_the_exact_values_within_their_errors() -> None:
    _, score = game(8, 3)
    exact, sampled = shapley(score, 8, 256), shapley(score, 8, 255)  # type: ignore[arg-type]
    assert sampled.method == SAMPLED
    assert 0 < sampled.errors.max() < 0.3
    assert (np.abs(sampled.values - exact.values) <= 4 * sampled.errors + 1e-9).all()


def test_a_linear_score_is_exact_with_a_single_order() -> None:
    weights = np.random.default_rng(1).normal(size=(40, 2))
    result = shapley(lambda masks: masks @ weights, 40, 4)
    assert result.runs == 80
    assert np.allclose(result.values, weights)  # of both scores at once


def test_it_ends_when_it_is_late() -> None:
    _, score = game(10, 2)
    assert shapley(score, 10, 500, lambda: True).runs == 20  # type: ignore[arg-type]
