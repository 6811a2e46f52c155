from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hearth_build.data.datasets import DataError
from hearth_build.evaluations.tabular import EVALUATIONS, app
from hearth_build.recipe import Example
from tests.export.evaluations.fakes import answer_with, model

CLASSES, NUMBERS = EVALUATIONS["tabular-classification"], EVALUATIONS["tabular-regression"]


def test_errors_of_numbers_are_measured_with_their_share_of_the_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    def predict_numbers(model: Any, request: Any) -> Any:
        return SimpleNamespace(output=[row["x"] for row in request.inputs])

    monkeypatch.setattr(app, "predict_numbers", predict_numbers)
    monkeypatch.setattr("hearth_build.evaluations.tabular.BATCH", 2)
    fake = model(task="tabular-regression")
    examples = [Example({"x": 1.0}, "1"), Example({"x": 2.0}, "2"), Example({"x": 5.0}, "3")]
    assert NUMBERS.measure(fake, examples) == pytest.approx({"MAE": 2 / 3, "RMSE": (4 / 3) ** 0.5, "R2": -1.0})
    with pytest.raises(DataError, match="must have numbers"):
        NUMBERS.measure(fake, [Example({"x": 1.0}, "yes")])
    assert not NUMBERS.higher_is_better
    assert NUMBERS.difference([1.0, 2.0], [1.5, 2.0]) == 0.5
    assert NUMBERS.summarize([1.5, 2.0]) == "1.5"


def test_rows_are_classified_with_the_scores_of_all_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: Any) -> Any:
        assert request.parameters.top_k == 2
        scores = [(row["x"], 1 - row["x"]) for row in request.inputs]
        return [[SimpleNamespace(label="yes", score=a), SimpleNamespace(label="no", score=b)] for a, b in scores]

    answer_with(monkeypatch, app, answer)
    fake = model(task="tabular-classification", labels=("no", "yes"), activation="softmax")
    examples = [Example({"x": 0.9}, "yes"), Example({"x": 0.4}, "yes")]
    assert CLASSES.measure(fake, examples)["accuracy"] == 0.5
    first, second = CLASSES.predict(fake, [{"x": 0.9}]), CLASSES.predict(fake, [{"x": 0.7}])
    assert CLASSES.difference(first, second) == pytest.approx(0.2)
    assert CLASSES.summarize(first) == "yes"
