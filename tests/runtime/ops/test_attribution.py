"""Attributions sum to the score, are exact for additive games, and keep to the number of runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearth.ops.attribution import Masks, attribute, split_grid, split_sequence


@given(st.integers(1, 40), st.integers(4, 200), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_values_sum_to_the_difference_of_the_scores(units: int, runs: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    weights, pairs = generator.normal(size=units), generator.normal(size=(units, units))
    rows = 0

    def score(masks: Masks) -> np.ndarray:
        nonlocal rows
        rows += len(masks)
        return np.tanh(masks @ weights + np.einsum("ni,ij,nj->n", masks, pairs, masks))

    result = attribute(score, split_sequence, units, runs)
    assert np.isclose(result.values.sum(), result.score - result.base_score)
    assert rows == result.runs <= runs
    repeated = attribute(score, split_sequence, units, runs)
    assert np.array_equal(result.values, repeated.values)


def test_an_additive_score_is_attributed_exactly() -> None:
    weights = np.random.default_rng(1).normal(size=23)
    result = attribute(lambda masks: 2 + masks @ weights, split_sequence, 23, 500)
    assert np.allclose(result.values, weights)
    assert np.allclose(result.errors, 0)


def test_few_runs_find_the_one_unit_that_matters() -> None:
    result = attribute(lambda masks: masks[:, 37].astype(float), split_sequence, 60, 40)
    assert result.values.argmax() == 37
    assert result.values[37] == pytest.approx(1)


def test_units_that_depend_on_each_other_have_errors() -> None:
    result = attribute(lambda masks: masks.all(1).astype(float), split_sequence, 2, 5)
    assert result.values.tolist() == [0.5, 0.5]
    assert result.errors.tolist() == [0.5, 0.5]


def test_it_ends_when_it_is_late() -> None:
    result = attribute(lambda masks: masks.sum(1).astype(float), split_sequence, 64, 500, lambda: True)
    assert result.runs == 2
    assert np.allclose(result.values, 1)


def test_a_rectangle_is_halved_across_its_longer_side() -> None:
    first, second = split_grid(4)(np.arange(8))  # two rows of four
    assert first.tolist() == [0, 1, 4, 5]
    assert second.tolist() == [2, 3, 6, 7]
    first, second = split_grid(1)(np.arange(3))
    assert len(first) > 0
    assert len(second) > 0


def test_further_orders_come_near_the_owen_values_of_the_halves() -> None:
    """Units 0 to 3 count only together: one half of a group that both are needed gets half of the group's value."""

    def score(masks: Masks) -> np.ndarray:
        return masks[:, :4].all(1).astype(float)

    single, many = attribute(score, split_sequence, 12, 24), attribute(score, split_sequence, 12, 3000)
    expected = [1 / 4, 1 / 8, 1 / 8, 1 / 2]  # of the halves 0-2 and 3-5; 0 and 1-2; 1 and 2
    assert many.values[:4].tolist() == pytest.approx(expected, abs=0.06)
    assert single.values[:4].tolist() != pytest.approx(expected, abs=0.06)
    assert many.runs > single.runs
    assert many.errors.sum() < 0.2 * single.errors.sum()
    assert many.values.sum() == pytest.approx(1)


def test_several_scores_are_attributed_together() -> None:
    weights = np.random.default_rng(2).normal(size=(9, 3))
    result = attribute(lambda masks: masks @ weights, split_sequence, 9, 100)
    assert np.allclose(result.values, weights)
    assert result.score.shape == result.base_score.shape == (3,)
