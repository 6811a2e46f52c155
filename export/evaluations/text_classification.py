"""text-classification: accuracy and F1 on labelled texts."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hearth.models.manifest import Entailment
from hearth_build.data.datasets import DataError
from hearth_build.evaluations.classes import Scores, difference, quality, scores_of, top
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.text_classification import app

FORM = "a .tsv file of `text<TAB>label`, or a .csv file with the columns `label` and `review` (or `text`); labels are \
numbers or names"


def read(path: Path) -> list[Example]:
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            if path.suffix == ".csv":
                rows = [(row.get("review") or row["text"], row["label"]) for row in csv.DictReader(lines)]
            else:
                rows = [line.rstrip("\n").rsplit("\t", 1) for line in lines if line.strip()]
        return [Example(text.strip(), label_of(label)) for text, label in rows]
    except (KeyError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); it must be {FORM}.") from None


def label_of(text: str) -> int | str:
    return int(text) if text.strip().isdecimal() else text.strip()


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    """A zero-shot classifier chooses among the names that the examples have."""
    inputs = [example.inputs for example in examples]
    if isinstance(model.manifest.head, Entailment):
        labels = sorted({str(example.expected) for example in examples})
        found = [zero_shot(model, {"inputs": text, "candidate_labels": labels}) for text in inputs]
    else:
        labels, found = list(model.manifest.labels), scores_of(app, model, inputs)
    wanted = [labels.index(one.expected) if one.expected in labels else one.expected for one in examples]
    unknown = sorted({str(label) for label in wanted if label not in range(len(labels))})
    if unknown:
        raise DataError(f"{', '.join(unknown)} are no labels of {model.manifest.model}: {', '.join(labels)}.")
    numbered = [Example(text, label) for text, label in zip(inputs, wanted, strict=True)]
    return quality(labels, numbered, found)


def answer(model: Any, inputs: str | dict[str, Any]) -> Scores:
    """Of a text; or of `{"inputs", "candidate_labels"}` for a zero-shot classifier."""
    return scores_of(app, model, [inputs])[0] if isinstance(inputs, str) else zero_shot(model, inputs)


def zero_shot(model: Any, inputs: dict[str, Any]) -> Scores:
    parameters = app.ZeroShotParameters(inputs["candidate_labels"])
    found = app.predict_zero_shot(model, app.ZeroShotRequest(inputs["inputs"], parameters)).output
    return {score.label: score.score for score in found}


EVALUATION = Evaluation("accuracy", True, FORM, read, measure, answer, difference, top)
