from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hearth_build.evaluations.image_classification import EVALUATION, app
from hearth_build.recipe import Example
from tests.export.evaluations.fakes import answer_with, model

LABELS = ("cat", "dog")


@pytest.fixture(autouse=True)
def reads_the_first_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: Any) -> Any:
        assert len(request.inputs) <= 2, "the model's limit"
        return [
            [SimpleNamespace(label=label, score=0.9 if label[0].encode() == image[:1] else 0.1) for label in LABELS]
            for image in request.inputs
        ]

    answer_with(monkeypatch, app, answer)


def test_the_accuracy_is_that_of_all_batches() -> None:
    examples = [Example(image, label) for image, label in ((b"c1", "cat"), (b"d1", "cat"), (b"d2", "dog"))]
    metrics = EVALUATION.measure(model(labels=LABELS, activation="softmax"), examples)
    assert metrics["accuracy"] == pytest.approx(2 / 3)


def test_an_image_is_summarized_by_its_label() -> None:
    scores = EVALUATION.predict(model(labels=LABELS), b"dog")
    assert scores == {"cat": 0.1, "dog": 0.9}
    assert EVALUATION.summarize(scores) == "dog"
    assert EVALUATION.difference(scores, {"cat": 0.3, "dog": 0.8}) == pytest.approx(0.2)
