from __future__ import annotations

import pytest

from hearth_build.evaluations.summarization import EVALUATION, longest_common_subsequence, rouge
from hearth_build.recipe import Example


def test_rouge_counts_words_pairs_and_the_longest_subsequence() -> None:
    scores = rouge("The cat sat there", "the cat was there")
    assert scores == {"ROUGE-1": 2 * 3 / 8, "ROUGE-2": 2 * 1 / 6, "ROUGE-L": 2 * 3 / 8}
    assert rouge("there sat", "sat there")["ROUGE-L"] == 1 / 2
    assert rouge("", "") == {"ROUGE-1": 0.0, "ROUGE-2": 0.0, "ROUGE-L": 0.0}


def test_a_subsequence_may_have_gaps() -> None:
    assert longest_common_subsequence("abcde", "axcxe") == 3


def test_the_score_is_the_mean_over_texts() -> None:
    assert EVALUATION.score is not None
    scores = EVALUATION.score(None, [Example("", "a b"), Example("", "c d")], ["a b", "x y"])
    assert scores == pytest.approx({"ROUGE-1": 0.5, "ROUGE-2": 0.5, "ROUGE-L": 0.5})
