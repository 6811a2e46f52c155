from __future__ import annotations

from typing import Any

import pytest
from sacrebleu.metrics import BLEU, CHRF

from hearth_build.evaluations.written_texts import chrf, corpus_score, difference, write_texts
from hearth_functions.text2text_generation import app
from tests.export.evaluations.fakes import answer_with, model

OUTPUTS, REFERENCES = ["Ein Mann geht dort.", "Zwei Hunde"], ["Ein Mann geht hier.", "Drei Hunde spielen"]


def test_texts_are_written_in_batches_of_similar_length(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[list[str]] = []

    def answer(request: Any) -> Any:
        batches.append(request.inputs)
        return [app.GeneratedText(text.upper()) for text in request.inputs]

    answer_with(monkeypatch, app, answer)
    assert write_texts(app, model(), ["a longer text", "b", "a long text", "c"]) == [
        "A LONGER TEXT",
        "B",
        "A LONG TEXT",
        "C",
    ]
    assert batches == [["b", "c"], ["a long text", "a longer text"]]


def test_scores_are_those_of_sacrebleu() -> None:
    expected = BLEU(lowercase=True, tokenize="13a").corpus_score(OUTPUTS, [REFERENCES]).score
    assert corpus_score("BLEU", OUTPUTS, REFERENCES, "13a") == pytest.approx(expected)
    assert chrf(OUTPUTS, REFERENCES) == pytest.approx(CHRF(lowercase=True).corpus_score(OUTPUTS, [REFERENCES]).score)


def test_equal_texts_do_not_differ_and_empty_ones_differ_most() -> None:
    assert difference("", "") == 0
    assert difference("Ein Mann", "") == 1
    assert 0 < difference(OUTPUTS[0], REFERENCES[0]) < 0.7
