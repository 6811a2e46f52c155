"""tabular-classification: accuracy and F1 on a table with a column of labels; tabular-regression: the mean error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hearth_build.data.datasets import DataError
from hearth_build.data.labelled_rows import DATA_FORMAT, read
from hearth_build.evaluations.classes import classification_metrics
from hearth_build.evaluations.classes import difference as score_difference
from hearth_build.pipeline.evaluation import Evaluation, measure_by
from hearth_build.recipe import Example
from hearth_functions.tabular import app

BATCH = 1000
Row = dict[str, Any]


def outputs(model: Any, examples: Sequence[Example]) -> list[Any]:
    """The scores of each row, or its number."""
    rows = [example.inputs for example in examples]
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    return [output for batch in batches for output in predict(model, batch)]


def score_numbers(model: Any, examples: Sequence[Example], numbers: Sequence[float]) -> dict[str, float]:
    try:
        expected = np.array([float(example.expected) for example in examples])
    except ValueError:
        raise DataError(f"The column to predict must have numbers. The evaluation reads {DATA_FORMAT}.") from None
    errors = np.array(numbers, float) - expected
    spread = float(((expected - expected.mean()) ** 2).mean()) or 1.0
    return {
        "MAE": float(np.abs(errors).mean()),
        "RMSE": float(np.sqrt((errors**2).mean())),
        "R2": 1 - float((errors**2).mean()) / spread,
    }


def scores_of(model: Any, rows: list[Row]) -> list[dict[str, float]]:
    parameters = app.ClassificationParameters(top_k=len(model.manifest.labels))
    output = app.predict(model, app.ClassificationRequest(rows, parameters=parameters)).output
    return [{label.label: label.score for label in row} for row in output]


def predict(model: Any, inputs: list[Row]) -> Any:
    """Scores of each row, or its number."""
    if model.manifest.task == "tabular-regression":
        return app.predict_numbers(model, app.RegressionRequest(inputs)).output
    return scores_of(model, inputs)


def difference(first: Any, second: Any) -> float:
    pairs = list(zip(first, second, strict=True))
    if isinstance(first[0], dict):
        return max(score_difference(*pair) for pair in pairs)
    return float(max(np.abs(np.subtract(*pair)).max() for pair in pairs))


def summarize(answer: Any) -> str:
    first = answer[0]
    return max(first, key=lambda label: first[label]) if isinstance(first, dict) else str(first)


def evaluation(metric: str, score: Any) -> Evaluation:
    return Evaluation(
        metric=metric,
        higher_is_better=metric == "accuracy",
        data_format=DATA_FORMAT,
        read=read,
        measure=measure_by(outputs, score),
        predict=predict,
        difference=difference,
        summarize=summarize,
        outputs=outputs,
        score=score,
    )


EVALUATIONS = {
    "tabular-classification": evaluation("accuracy", classification_metrics),
    "tabular-regression": evaluation("MAE", score_numbers),
}
