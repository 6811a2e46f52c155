"""text-classification: accuracy and F1 on labelled texts."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from export.data import DataError
from export.evaluation import Evaluation
from export.evaluations.classes import Scores, difference, quality, scores_of, top
from export.recipe import Example
from functions.text_classification import app

FORM = "a .tsv file of `text<TAB>label number`, or a .csv file with the columns `label` and `review` (or `text`)"


def read(path: Path) -> list[Example]:
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            if path.suffix == ".csv":
                rows = [(row.get("review") or row["text"], row["label"]) for row in csv.DictReader(lines)]
            else:
                rows = [line.rstrip("\n").rsplit("\t", 1) for line in lines if line.strip()]
        return [Example(text.strip(), int(label)) for text, label in rows]
    except (KeyError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); it must be {FORM}.") from None


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    return quality(model.manifest.labels, examples, scores_of(app, model, [example.inputs for example in examples]))


def answer(model: Any, inputs: str) -> Scores:
    return scores_of(app, model, [inputs])[0]


EVALUATION = Evaluation("accuracy", True, FORM, read, measure, answer, difference, top)
