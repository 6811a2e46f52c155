"""The classes in which inputs and answers are counted."""

from __future__ import annotations

import itertools

import pytest

from hearth.telemetry.features import FEATURES, SCRIPT_NAMES, class_name, count, observe, script_of


def test_edges_ascend() -> None:
    for name, feature in FEATURES.items():
        assert all(first < second for first, second in itertools.pairwise(feature.edges)), name
        assert feature.classes <= 256


def test_values_fall_into_classes_and_far_ones_into_the_last() -> None:
    observed: dict[tuple[str, int], int] = {}
    for value in (0.0, 0.02, 0.05, 0.051, 0.99, 7.0):
        observe(observed, "score", value)
    count(observed, "label", 3)
    assert observed == {("score", 0): 3, ("score", 1): 1, ("score", 19): 2, ("label", 3): 1}
    assert class_name("score", 0) == "≤ 0.05"
    assert class_name("score", 19) == "> 0.95"
    assert class_name("label", 1, ["no", "yes"]) == "yes"
    assert class_name("label", 300, ["no", "yes"]) == "label 300"
    assert class_name("correct", 1) == "right"


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("plain", "Latin"),
        ("naïve façade", "Latin"),
        ("Привет, world", "Cyrillic"),
        ("我喜欢 it", "Han"),
        ("きれいな花", "Kana"),
        ("한국어", "Hangul"),
        ("ⴰⴱⴳ", "other"),
        ("1234 🙂", "Latin"),
    ],
)
def test_the_script_of_most_letters_counts(text: str, script: str) -> None:
    assert SCRIPT_NAMES[script_of(text)] == script
