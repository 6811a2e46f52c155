"""text-classification: labels and their scores for a text."""

from __future__ import annotations

from hearth import cold

cold.start()  # before the imports that take long

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from hearth.cache import warm
from hearth.entry import create_handler
from hearth.manifest import TextPreprocessing
from hearth.model import Model
from hearth.ops.scores import activate, best
from hearth.ops.tokens import pad, texts_of
from hearth.task import Task
from hearth.trace import step


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    top_k: Annotated[int, Meta(ge=1)] | None = None
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = None


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: str | list[str]
    parameters: Parameters = Parameters()


class Score(Struct, frozen=True):
    label: str
    score: float


Response = list[list[Score]]
"""The scores of each text, best first."""


def encode(model: Model, request: Request) -> dict[str, np.ndarray[Any, Any]]:
    """Token ids and mask, (batch, longest text) int64. Raises BadRequest, PayloadTooLarge."""
    how = model.manifest.preprocessing
    assert isinstance(how, TextPreprocessing)  # noqa: S101 -- what the manifest's schema promises of the task
    assert model.tokenizer is not None  # noqa: S101
    texts = texts_of(request.inputs, model.manifest.limits)
    inputs = [tensor.name for tensor in model.manifest.graphs["main"].inputs]
    return pad(model.tokenizer.encode_batch(texts), how.pad_id, inputs)


def decode(model: Model, request: Request, outputs: list[np.ndarray[Any, Any]]) -> Response:
    wanted = request.parameters
    scores = activate(outputs[0], wanted.function_to_apply or model.manifest.activation)  # (batch, labels)
    labels = model.manifest.labels
    count = wanted.top_k or len(labels)
    return [[Score(labels[index], float(row[index])) for index in best(row, count)] for row in scores]


def answer(model: Model, request: Request) -> Response:
    with step("encode"):
        feeds = encode(model, request)
    with step("run"):
        outputs = model.run(feeds)
    with step("decode"):
        return decode(model, request, outputs)


def predict(name: str, request: Request) -> Response:
    with warm().get(name) as model:
        return answer(model, request)


TASKS = (Task("text-classification", Request, Response, predict, {"inputs": "I like this film very much."}),)
handler = create_handler(TASKS)
