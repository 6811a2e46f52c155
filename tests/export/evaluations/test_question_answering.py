from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hearth_build.evaluations.question_answering import EVALUATION, app, normalize, outputs, score, word_f1
from hearth_build.recipe import Example
from tests.export.evaluations.fakes import answer_with, model


def answers(*texts: str) -> list[Any]:
    return [SimpleNamespace(text=text) for text in texts]


def test_articles_and_punctuation_do_not_count() -> None:
    assert normalize("The Mill, by an A-road.") == ["mill", "by", "aroad"]


def test_the_best_reference_counts() -> None:
    examples = [Example({}, answers("nothing", "the mill!")), Example({}, answers("big old mill")), Example({}, [])]
    metrics = score(None, examples, ["Mill", "old mill", ""])
    assert metrics == pytest.approx({"exact match": 2 / 3, "F1": (1 + 4 / 5 + 1) / 3})
    assert word_f1([], ["mill"]) == 0


@pytest.mark.parametrize(("expected", "may_be_empty"), [([], True), (answers("mill"), False)])
def test_empty_answers_are_allowed_where_questions_have_none(
    expected: Any, may_be_empty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(request: Any) -> Any:
        assert request.parameters.handle_impossible_answer is may_be_empty
        return SimpleNamespace(answer="mill", start=3, score=0.5)

    answer_with(monkeypatch, app, answer)
    pair = {"question": "Where?", "context": "In a mill."}
    assert outputs(model(), [Example(pair, expected)]) == ["mill"]


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        (("mill", 3, 0.8), ("mill", 3, 0.6), 0.2),
        (("mill", 3, 0.8), ("mill", 9, 0.7), 0.5),
        (("mill", 3, 0.4), ("river", 9, 0.4), 0.0),
    ],
)
def test_different_answers_differ_by_what_their_scores_must(first: Any, second: Any, difference: float) -> None:
    pair = [dict(zip(("answer", "start", "score"), values, strict=True)) for values in (first, second)]
    assert EVALUATION.difference(*pair) == pytest.approx(difference)
    assert EVALUATION.difference(*reversed(pair)) == pytest.approx(difference)
