"""Distances of scores, numbers and texts."""

from __future__ import annotations

import math

from hearth.tasks.distances import array_distance, leaves, score_distance, text_distance


def test_a_missing_label_has_at_most_the_lowest_score() -> None:
    assert score_distance({"a": 0.9, "b": 0.1}, {"a": 0.8, "b": 0.2}) == 0.1 - 1e-17 or math.isclose(
        score_distance({"a": 0.9, "b": 0.1}, {"a": 0.8, "b": 0.2}), 0.1
    )
    assert math.isclose(score_distance({"a": 0.9, "c": 0.3}, {"a": 0.9, "b": 0.1}), 0.2)
    assert score_distance({}, {"a": 1.0}) == 1.0


def test_numbers_are_relative_to_the_largest_one() -> None:
    assert array_distance([100.0, 1.0], [99.0, 1.0]) == 0.01
    assert array_distance([0.5], [0.25]) == 0.25
    assert array_distance(["a"], ["b"]) == 1.0
    assert array_distance([1.0], [1.0, 2.0]) == float("inf")


def test_leaves_are_in_the_order_of_names() -> None:
    assert list(leaves({"b": [1], "a": {"c": "x"}})) == ["a", "c", "x", "b", 1]


def test_texts_are_as_far_as_they_differ() -> None:
    assert text_distance("good day", "good day") == 0
    assert 0 < text_distance("good day", "good days") < 0.2
