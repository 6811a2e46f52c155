"""image-classification: accuracy and F1 on a folder of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hearth_build.data.datasets import DataError
from hearth_build.evaluations.classes import Scores, difference, quality, scores_of, top
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.image_classification import app

FORM = "a folder with one folder of pictures a class, named like the model's labels"


def read(path: Path) -> list[Example]:
    if not path.is_dir():
        raise DataError(f"{path} must be {FORM}.")
    files = sorted(file for file in path.glob("*/*") if file.is_file())
    return [Example(file.read_bytes(), file.parent.name) for file in files]


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    """Classes are numbers in a recipe's examples, and names of folders in a user's."""
    labels = model.manifest.labels
    unknown = {example.expected for example in examples} - set(labels) - set(range(len(labels)))
    if unknown:
        raise DataError(f"{sorted(map(str, unknown))} are no labels of {model.manifest.model}: {', '.join(labels)}.")
    numbered = [
        Example(example.inputs, labels.index(example.expected) if example.expected in labels else example.expected)
        for example in examples
    ]
    return quality(labels, numbered, scores_of(app, model, [example.inputs for example in numbered]))


def answer(model: Any, inputs: bytes) -> Scores:
    return scores_of(app, model, [inputs])[0]


EVALUATION = Evaluation("accuracy", True, FORM, read, measure, answer, difference, top)
