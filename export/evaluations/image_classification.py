"""image-classification: accuracy and F1 on a folder of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hearth_build.data.datasets import DataError
from hearth_build.evaluations.classes import Scores, classification_metrics, difference, scores_of, top_label
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.image_classification import app

DATA_FORMAT = "a folder with one folder of images per class, named like the model's labels"


def read(path: Path) -> list[Example]:
    if not path.is_dir():
        raise DataError(f"{path} must be {DATA_FORMAT}.")
    files = sorted(file for file in path.glob("*/*") if file.is_file())
    return [Example(file.read_bytes(), file.parent.name) for file in files]


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    """Classes are numbers in the examples of a recipe, and names of folders in those of a user."""
    labels = model.manifest.labels
    unknown = {example.expected for example in examples} - set(labels) - set(range(len(labels)))
    if unknown:
        raise DataError(
            f"{', '.join(sorted(map(str, unknown)))} are not labels of {model.manifest.model}, whose labels are "
            f"{', '.join(labels)}."
        )
    numbered = [
        Example(example.inputs, labels.index(example.expected) if example.expected in labels else example.expected)
        for example in examples
    ]
    return classification_metrics(labels, numbered, scores_of(app, model, [example.inputs for example in numbered]))


def predict(model: Any, inputs: bytes) -> Scores:
    return scores_of(app, model, [inputs])[0]


EVALUATION = Evaluation("accuracy", True, DATA_FORMAT, read, measure, predict, difference, top_label)
