"""tabular-classification: accuracy and F1 on a table with a column of labels; tabular-regression: the mean error."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hearth_build.data.datasets import DataError
from hearth_build.evaluations.classes import classification_metrics
from hearth_build.evaluations.classes import difference as score_difference
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.tabular import app

DATA_FORMAT = "a .csv file with a line of column names; the last column is the one to predict"
BATCH = 1000
Row = dict[str, Any]


def read(path: Path) -> list[Example]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            names, *rows = [row for row in csv.reader(lines) if row]
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); it must be {DATA_FORMAT}.") from None
    if any(len(row) != len(names) for row in rows):
        raise DataError(f"{path} has lines with more or fewer values than its first line; it must be {DATA_FORMAT}.")
    return [
        Example({name: value or None for name, value in zip(names[:-1], row, strict=False)}, row[-1]) for row in rows
    ]


def batches(examples: Sequence[Example]) -> list[Sequence[Example]]:
    return [examples[start : start + BATCH] for start in range(0, len(examples), BATCH)]


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    inputs = [[example.inputs for example in batch] for batch in batches(examples)]
    if model.manifest.task == "tabular-regression":
        outputs = [app.predict_numbers(model, app.RegressionRequest(rows)).output for rows in inputs]
        predicted = np.array([number for batch in outputs for number in batch], float)
        try:
            expected = np.array([float(example.expected) for example in examples])
        except ValueError:
            raise DataError(f"The column to predict must have numbers. The evaluation reads {DATA_FORMAT}.") from None
        errors = predicted - expected
        return {"MAE": float(np.abs(errors).mean()), "RMSE": float(np.sqrt((errors**2).mean()))}
    labels = model.manifest.labels
    unknown = sorted({example.expected for example in examples} - set(labels))
    if unknown:
        raise DataError(f"{', '.join(unknown)} are not labels of {model.manifest.model}: {', '.join(labels)}.")
    scores = [scores_of(model, rows) for rows in inputs]
    numbered = [Example(example.inputs, labels.index(example.expected)) for example in examples]
    return classification_metrics(labels, numbered, [row for batch in scores for row in batch])


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


EVALUATIONS = {
    "tabular-classification": Evaluation("accuracy", True, DATA_FORMAT, read, measure, predict, difference, summarize),
    "tabular-regression": Evaluation("MAE", False, DATA_FORMAT, read, measure, predict, difference, summarize),
}
