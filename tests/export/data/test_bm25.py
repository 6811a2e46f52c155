from __future__ import annotations

import math

import pytest

from hearth_build.data.bm25 import Bm25, words_of


def test_characters_of_scripts_without_spaces_are_words() -> None:
    assert words_of("Red APPLES, 酒店 2") == ["red", "apples", "酒", "店", "2"]


def test_scores_follow_the_formula() -> None:
    scores = Bm25(["red red apple", "blue sky"]).scores("Red")
    weight = math.log(1 + (2 - 1 + 0.5) / (1 + 0.5))
    norm = 1.2 * (1 - 0.75 + 0.75 * 3 / 2.5)
    assert scores.tolist() == pytest.approx([weight * 2 * 2.2 / (2 + norm), 0.0])


def test_unknown_words_and_empty_texts_score_zero() -> None:
    assert Bm25(["", ""]).scores("red").tolist() == [0.0, 0.0]
