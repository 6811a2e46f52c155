from __future__ import annotations

import math

import pytest

from hearth_build.data.character_ngrams import CharacterNgrams


def test_probabilities_after_a_context_sum_to_one() -> None:
    model = CharacterNgrams(["abab", "abc"], order=3)
    for context in ("", "a", "ab", "x"):
        total = sum(model.probability(context + character, len(context)) for character in "abc")
        unknown = model.probability(f"{context}?", len(context))
        assert total + unknown == pytest.approx(1)
        assert unknown > 0


def test_texts_like_those_of_the_training_are_likelier() -> None:
    model = CharacterNgrams(["the cat sat on the mat"] * 3)
    assert model.nats("the cat") < model.nats("act eht")
    assert model.nats("t") == pytest.approx(-math.log(model.probability("t", 0)))


def test_only_the_first_characters_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hearth_build.data.character_ngrams.LARGEST", 4)
    assert CharacterNgrams(["abcd", "xyz"]).totals[""] == 4
