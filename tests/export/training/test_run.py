from __future__ import annotations

from unittest.mock import Mock

import pytest

from hearth_build.training.candidates import Candidate
from hearth_build.training.run import better_baseline


@pytest.mark.parametrize(
    ("baseline", "served", "higher_is_better", "is_noted"),
    [
        (0.8, 0.7, True, True),
        (0.7, 0.8, True, False),
        (1.6, 2.3, False, True),
        (2.3, 1.6, False, False),
        (1, 1, True, False),
    ],
)
def test_a_baseline_that_is_better_than_what_is_served_is_noted(
    baseline: float, served: float, higher_is_better: bool, is_noted: bool
) -> None:
    chosen = Candidate("network", served, Mock())
    note = better_baseline([Candidate("n-grams", baseline), chosen], chosen, higher_is_better)
    assert bool(note) == is_noted
    assert not note or "n-grams" in note
