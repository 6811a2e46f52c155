"""tensors: the largest difference from expected outputs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hearth.tasks.golden import sample, tensor_distance
from hearth_build.data.datasets import DataError
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.tensors import app

DATA_FORMAT = (
    "a .jsonl file with an object per line: `inputs` has the graph's inputs by name, `outputs` those of its outputs "
    "that are to be compared, both in lists nested as the tensors"
)
Answer = dict[str, Any]


def read(path: Path) -> list[Example]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        documents = [json.loads(line) for line in lines if line.strip()]
        return [Example(document["inputs"], document["outputs"]) for document in documents]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read ({error!r}); it must be {DATA_FORMAT}.") from None


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    differences = []
    for example in examples:
        outputs = app.predict(model, app.Request(example.inputs)).output
        if unknown := sorted(example.expected.keys() - outputs.keys()):
            raise DataError(f"There is no output {', '.join(unknown)}; the outputs are: {', '.join(outputs)}.")
        expected = {name: sample(value) for name, value in example.expected.items()}
        differences.append(tensor_distance(expected, outputs))
    return {"largest difference": max(differences)}


def predict(model: Any, inputs: dict[str, Any]) -> Answer:
    """Evenly spaced values of each output: whole outputs may be far larger than the model."""
    outputs = app.predict(model, app.Request(inputs)).output
    return {name: sample(value) for name, value in outputs.items()}


def difference(first: Answer, second: Answer) -> float:
    return max((tensor_distance({name: first[name]}, {name: second[name]}) for name in first), default=0.0)


def summarize(answer: Answer) -> str:
    return ", ".join(f"{name}: {values['count']} values" for name, values in answer.items())


EVALUATION = Evaluation("largest difference", False, DATA_FORMAT, read, measure, predict, difference, summarize)
