"""text2text-generation: chrF and exact matches on inputs with a reference output."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from hearth_build.data import parallel_texts
from hearth_build.evaluations.written_texts import chrf, difference, summarize, write_texts
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.text2text_generation import app

DATA_FORMAT = parallel_texts.data_format(parallel_texts.OUTPUT)
read = partial(parallel_texts.read, roles=parallel_texts.OUTPUT)


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    outputs = write_texts(app, model, [example.inputs for example in examples])
    references = [str(example.expected) for example in examples]
    equal = [output.strip() == reference for output, reference in zip(outputs, references, strict=True)]
    return {"chrF": chrf(outputs, references), "exact match": sum(equal) / len(equal)}


def predict(model: Any, inputs: str) -> str:
    return write_texts(app, model, [inputs])[0]


EVALUATION = Evaluation("chrF", True, DATA_FORMAT, read, measure, predict, difference, summarize)
