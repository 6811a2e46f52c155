from __future__ import annotations

import pytest

from hearth_build.evaluations.speech_recognition import EVALUATION, edit_distance, error_rates, normalize


def test_punctuation_and_case_cannot_be_heard() -> None:
    assert normalize("Don’t  stop, Mr. B!") == "don't stop mr b"


@pytest.mark.parametrize(
    ("reference", "hypothesis", "distance"),
    [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("abc", "abc", 0), ("abc", "bc", 1)],
)
def test_edits_are_counted(reference: str, hypothesis: str, distance: int) -> None:
    assert edit_distance(reference, hypothesis) == distance


def test_rates_are_over_all_texts_together() -> None:
    rates = error_rates(["one two three", "four"], ["one too three", "Four!"])
    assert rates == {"WER": 1 / 4, "CER": 1 / 17, "exact": 1 / 2}
    assert error_rates([], []) == {"WER": 0.0, "CER": 0.0, "exact": 0.0}


def test_texts_differ_by_a_fraction_of_the_longer_one() -> None:
    assert EVALUATION.difference("abcd", "abc") == 1 / 4
    assert EVALUATION.difference("", "") == 0
    assert not EVALUATION.higher_is_better
