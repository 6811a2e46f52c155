from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hearth_build.evaluations.image_embeddings import EVALUATION, app
from hearth_build.recipe import Example
from tests.export.evaluations.fakes import answer_with, model

VECTORS = {b"c1": [1.0, 0.0], b"c2": [0.9, 0.1], b"d1": [0.0, 1.0], b"d2": [0.8, 0.2]}


def with_head(**fields: Any) -> Any:
    fake = model()
    fake.head = SimpleNamespace(**fields)
    return fake


def test_pictures_without_texts_have_the_class_of_the_nearest_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def vectors(model: Any, request: Any) -> Any:
        return SimpleNamespace(output=[VECTORS[request.inputs]])

    monkeypatch.setattr(app, "predict_vectors", vectors)
    examples = [Example(image, image[:1].decode()) for image in VECTORS]
    # d2 is nearest to c1, every other one to one of its class.
    assert EVALUATION.measure(with_head(tokenizer=None), examples) == {"accuracy": 0.75}
    vector = EVALUATION.predict(with_head(), b"c1")
    assert EVALUATION.summarize(vector) == "2 numbers"
    assert EVALUATION.difference([2.0, 0.0], [0.0, 1.0]) == 1


def test_pictures_with_texts_are_classified_by_the_names_of_their_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: Any) -> Any:
        labels = request.parameters.candidate_labels
        return [SimpleNamespace(label=label, score=float(label == request.inputs.decode())) for label in labels]

    answer_with(monkeypatch, app, answer)
    fake = with_head(tokenizer="tokenizer.json")
    fake.manifest.labels = ()
    scores = EVALUATION.predict(fake, {"inputs": b"dog", "candidate_labels": ["cat", "dog"]})
    assert EVALUATION.summarize(scores) == "dog"
    assert EVALUATION.difference(scores, {"cat": 0.5, "dog": 1.0}) == 0.5
