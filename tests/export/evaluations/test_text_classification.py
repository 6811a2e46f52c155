from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hearth.models.heads import Entailment
from hearth_build.data.datasets import DataError
from hearth_build.evaluations.text_classification import EVALUATION, app
from hearth_build.recipe import Example
from tests.export.evaluations.fakes import answer_with, model

LABELS = ("bad", "good")


def score(label: str, text: str) -> Any:
    return SimpleNamespace(label=label, score=0.75 if label in text else 0.25)


def test_texts_are_classified_by_the_labels_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, app, lambda request: [[score(label, text) for label in LABELS] for text in request.inputs])
    fake = model(labels=LABELS, activation="softmax")
    examples = [Example("a good room", "good"), Example("a bad room", "good"), Example("so bad", "0")]
    assert EVALUATION.measure(fake, examples)["accuracy"] == pytest.approx(2 / 3)
    with pytest.raises(DataError, match="fine is not among the labels of fake: bad, good"):
        EVALUATION.measure(fake, [Example("a good room", "fine")])
    assert EVALUATION.summarize(EVALUATION.predict(fake, "so bad")) == "bad"


def test_the_candidates_of_a_zero_shot_classifier_are_the_labels_of_the_examples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def predict(model: Any, request: Any) -> Any:
        labels = request.parameters.candidate_labels
        return SimpleNamespace(output=[score(label, request.inputs) for label in labels])

    monkeypatch.setattr(app, "predict_zero_shot", predict)
    fake = model(head=Entailment(entailment=2, contradiction=0))
    examples = [Example("a film about a hotel", "hotel"), Example("a film", "film"), Example("a hotel", "film")]
    assert EVALUATION.measure(fake, examples)["accuracy"] == pytest.approx(1 / 3)
    assert EVALUATION.predict(fake, {"inputs": "a film", "candidate_labels": ["x", "film"]}) == {
        "x": 0.25,
        "film": 0.75,
    }
