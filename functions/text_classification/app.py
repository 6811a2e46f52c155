"""text-classification: labels and their scores for a text."""

from __future__ import annotations

from hearth import cold

cold.start()  # before the imports that take long

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from hearth.cache import warm
from hearth.entry import create_handler
from hearth.errors import BadRequest, PayloadTooLarge
from hearth.manifest import TextPreprocessing
from hearth.model import Model
from hearth.ops.scores import activate, best
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
    texts = [request.inputs] if isinstance(request.inputs, str) else request.inputs
    limits, how = model.manifest.limits, model.manifest.preprocessing
    assert isinstance(how, TextPreprocessing)  # noqa: S101 -- what the manifest's schema promises of the task
    assert model.tokenizer is not None  # noqa: S101
    if not texts:
        raise BadRequest("`inputs` is an empty list; send at least one text")
    if len(texts) > limits.batch:
        raise PayloadTooLarge(f"`inputs` has {len(texts)} texts; {limits.batch} are allowed in one request")
    for text in texts:
        # Before the tokenizer sees it: cutting a text to its first tokens does not shorten the work.
        if limits.characters and len(text) > limits.characters:
            raise PayloadTooLarge(f"A text has {len(text)} characters; {limits.characters} are allowed")
    rows = [encoding.ids for encoding in model.tokenizer.encode_batch(texts)]
    ids = np.full((len(rows), max(map(len, rows))), how.pad_id, np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask}


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
