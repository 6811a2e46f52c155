"""text-classification: accuracy and F1 on labelled texts."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hearth.models.manifest import Entailment
from hearth_build.data.datasets import DataError
from hearth_build.evaluations.classes import Scores, classification_metrics, difference, scores_of, top_label
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.text_classification import app

DATA_FORMAT = (
    "a .tsv file of `text<TAB>label`, or a .csv file with the columns `label` and `review` (or `text`); labels are "
    "numbers or names"
)


def read(path: Path) -> list[Example]:
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            if path.suffix == ".csv":
                rows = [(row.get("review") or row["text"], row["label"]) for row in csv.DictReader(lines)]
            else:
                rows = [line.rstrip("\n").rsplit("\t", 1) for line in lines if line.strip()]
        return [Example(text.strip(), parse_label(label)) for text, label in rows]
    except (KeyError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); it must be {DATA_FORMAT}.") from None


def parse_label(text: str) -> int | str:
    return int(text) if text.strip().isdecimal() else text.strip()


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    """The candidate labels of a zero-shot classifier are the labels of the examples."""
    inputs = [example.inputs for example in examples]
    if isinstance(model.manifest.head, Entailment):
        labels = sorted({str(example.expected) for example in examples})
        scores = [predict_zero_shot(model, {"inputs": text, "candidate_labels": labels}) for text in inputs]
    else:
        labels, scores = list(model.manifest.labels), scores_of(app, model, inputs)
    expected = [
        labels.index(example.expected) if example.expected in labels else example.expected for example in examples
    ]
    unknown = sorted({str(label) for label in expected if label not in range(len(labels))})
    if unknown:
        raise DataError(
            f"{', '.join(unknown)} are not labels of {model.manifest.model}, whose labels are {', '.join(labels)}."
        )
    numbered = [Example(text, label) for text, label in zip(inputs, expected, strict=True)]
    return classification_metrics(labels, numbered, scores)


def predict(model: Any, inputs: str | dict[str, Any]) -> Scores:
    """Scores for a text, or for `{"inputs", "candidate_labels"}` by a zero-shot classifier."""
    return scores_of(app, model, [inputs])[0] if isinstance(inputs, str) else predict_zero_shot(model, inputs)


def predict_zero_shot(model: Any, inputs: dict[str, Any]) -> Scores:
    parameters = app.ZeroShotParameters(inputs["candidate_labels"])
    output = app.predict_zero_shot(model, app.ZeroShotRequest(inputs["inputs"], parameters)).output
    return {score.label: score.score for score in output}


EVALUATION = Evaluation("accuracy", True, DATA_FORMAT, read, measure, predict, difference, top_label)
