from __future__ import annotations

import pytest

from hearth_build.data.datasets import DataError
from hearth_build.evaluations.classes import expected_labels
from hearth_build.recipe import Example


def test_numbers_are_places_of_labels_unless_they_are_labels() -> None:
    assert expected_labels("a", ["bad", "good"], [Example("x", "1"), Example("x", "bad")]) == [{1}, {0}]
    with pytest.raises(DataError, match="0 is not among the labels of a: 1, 2, 3"):
        expected_labels("a", ["1", "2", "3"], [Example("x", "0")])
