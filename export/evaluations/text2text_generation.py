"""text2text-generation: chrF and exact matches on inputs with a reference output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hearth_build.evaluations.written_texts import chrf, difference, read_pairs, summarize, write_texts
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.text2text_generation import app

DATA_FORMAT = "a .tsv file of `input<TAB>output`"


def read(path: Path) -> list[Example]:
    return read_pairs(path, DATA_FORMAT)


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    outputs = write_texts(app, model, [example.inputs for example in examples])
    references = [str(example.expected) for example in examples]
    equal = [output.strip() == reference for output, reference in zip(outputs, references, strict=True)]
    return {"chrF": chrf(outputs, references), "exact match": sum(equal) / len(equal)}


def predict(model: Any, inputs: str) -> str:
    return write_texts(app, model, [inputs])[0]


EVALUATION = Evaluation("chrF", True, DATA_FORMAT, read, measure, predict, difference, summarize)
