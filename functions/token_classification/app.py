"""token-classification: names and their kinds in a text of any length."""

from __future__ import annotations

from hearth.models import preload

preload.start("tokenizers")  # before the imports that take long

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from hearth.models.cache import warm
from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest
from hearth.models.manifest import Tagging, TextPreprocessing
from hearth.models.model import Model
from hearth.ops.text.entities import entities, pieces_of, settle
from hearth.ops.activations import activate
from hearth.ops.text.windows import MOST_WINDOWS, Row, pad, room, texts_of, whole, windows
from hearth.tasks.task import Task
from hearth.telemetry.timing import step

WINDOWS = 16
"""Rows of one run: how much memory a long text takes."""


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    aggregation_strategy: Literal["none", "simple", "first", "average", "max"] = "simple"
    ignore_labels: Annotated[tuple[str, ...], Meta(max_length=1000)] = ("O",)
    stride: Annotated[int, Meta(ge=0)] | None = None
    """Tokens that the windows of a long text share; unset: as the manifest says."""


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: str | list[str]
    parameters: Parameters = Parameters()


class Entity(Struct, frozen=True, omit_defaults=True):
    score: float
    word: str
    start: int
    end: int
    entity: str | None = None
    """The token's own label, with strategy `none`."""
    index: int | None = None
    """The token's number in its window, special tokens counted, with strategy `none`."""
    entity_group: str | None = None
    """The kind without B- or I-, with the other strategies."""


Response = list[Entity | list[Entity]]
"""The entities of the text in order; a list of them for each text where a list came."""


def encode(model: Model, request: Request) -> list[list[Row]]:
    """The windows of each text. Raises BadRequest, PayloadTooLarge."""
    how, head = model.manifest.preprocessing, model.manifest.head
    assert isinstance(how, TextPreprocessing)  # noqa: S101 -- what the manifest's schema promises of the task
    assert model.tokenizer is not None  # noqa: S101
    texts = texts_of(request.inputs, model.manifest.limits)
    # Windows that share more than half of themselves are many, and know little more.
    most = max(room(model.tokenizer, how.max_tokens) // 2, 0)
    wanted = request.parameters.stride
    if wanted is not None and wanted > most:
        raise BadRequest(f"`parameters.stride` is {wanted}; the windows of this model may share {most} tokens at most")
    stride = min(head.stride if isinstance(head, Tagging) else 0, most) if wanted is None else wanted
    found: list[list[Row]] = []
    for text in texts:
        left = MOST_WINDOWS - sum(map(len, found))
        found.append(windows(model.tokenizer, whole(model.tokenizer, text), how.max_tokens, stride, most=left))
    return found


def run(model: Model, rows: Sequence[Row]) -> list[np.ndarray[Any, Any]]:
    """Scores (tokens, labels) of each window."""
    how, inputs = model.manifest.preprocessing, model.manifest.graphs["main"].inputs
    assert isinstance(how, TextPreprocessing)  # noqa: S101
    found = []
    for start in range(0, len(rows), WINDOWS):
        part = rows[start : start + WINDOWS]
        logits = model.run(pad(part, how.pad_id, [tensor.name for tensor in inputs]))[0]
        found += [activate(logits[index, : len(row.ids)], "softmax") for index, row in enumerate(part)]
    return found


def decode(model: Model, request: Request, texts: list[list[Row]], scores: Sequence[np.ndarray[Any, Any]]) -> Response:
    assert model.tokenizer is not None  # noqa: S101
    wanted, labels, joined = request.parameters, model.manifest.labels, model.tokenizer.decoder
    sources = [request.inputs] if isinstance(request.inputs, str) else request.inputs
    remaining, answers = iter(scores), []
    for source, rows in zip(sources, texts, strict=True):
        parts = [
            entities(
                pieces_of(model.tokenizer, row, source, next(remaining)),
                labels,
                wanted.aggregation_strategy,
                joined.decode if joined is not None else " ".join,
            )
            for row in rows
        ]
        found = [entity for part in parts for entity in part if entity.label not in wanted.ignore_labels]
        found = settle(found) if len(rows) > 1 else found
        if wanted.aggregation_strategy == "none":
            answers.append([Entity(e.score, e.word, e.start, e.end, e.label, e.index) for e in found])
        else:
            answers.append([Entity(e.score, e.word, e.start, e.end, entity_group=e.label) for e in found])
    return [*answers[0]] if isinstance(request.inputs, str) else [*answers]


def answer(model: Model, request: Request) -> Response:
    with step("encode"):
        texts = encode(model, request)
    with step("run"):
        scores = run(model, [row for rows in texts for row in rows])
    with step("decode"):
        return decode(model, request, texts, scores)


def predict(name: str, request: Request) -> Response:
    with warm().get(name) as model:
        return answer(model, request)


TASKS = (
    Task(
        "token-classification", Request, Response, predict, {"inputs": "Maria lives in Berlin and works for Siemens."}
    ),
)
handler = create_handler(TASKS)
