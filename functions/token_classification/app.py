"""token-classification: named entities in a text of any length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest
from hearth.models.heads import Tagging
from hearth.models.model import Model
from hearth.models.preprocessing import TextPreprocessing
from hearth.ops.activations import activate
from hearth.ops.text.entities import aggregate, aggregate_overlapping_entities, gather_pre_entities, strip
from hearth.ops.text.windows import MAX_WINDOWS, Row, list_texts, pad, tokenize_whole, window_capacity, windows
from hearth.tasks.schema import Explainable, Explained
from hearth.tasks.task import Prediction, Task, Usage, explainable
from hearth.telemetry.observation import observe_text
from hearth.telemetry.timing import step

BATCH = 16
"""Number of windows per run, which bounds the memory that a long text takes."""

Tagger = Model[TextPreprocessing, Tagging | None]


class Parameters(Explainable, frozen=True):
    aggregation_strategy: Literal["none", "simple", "first", "average", "max"] = "simple"
    ignore_labels: Annotated[tuple[str, ...], Meta(max_length=1000)] = ("O",)
    stride: Annotated[int, Meta(ge=0)] | None = None
    """Number of tokens that the windows of a long text share; default: from the manifest."""


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: str | list[str]
    parameters: Parameters = Parameters()


class Entity(Struct, frozen=True, omit_defaults=True):
    score: float
    word: str
    start: int
    end: int
    entity: str | None = None
    """The token's label, with strategy `none`."""
    index: int | None = None
    """The token's index in its window, special tokens included, with strategy `none`."""
    entity_group: str | None = None
    """The label without B- or I-, with the other strategies."""


Response = list[Entity | list[Entity]] | Explained
"""The entities of the text in order; one list per text for a list of texts."""


def encode(model: Tagger, request: Request) -> list[list[Row]]:
    """The windows of each text. Raises BadRequest, PayloadTooLarge."""
    tokenizer, size = model.tokenizer, model.preprocessing.max_tokens
    texts = list_texts(request.inputs, model.manifest.limits)
    # Windows that share more than half of their tokens cost much and improve little.
    maximum = max(window_capacity(tokenizer, size) // 2, 0)
    stride = request.parameters.stride
    if stride is None:
        stride = min(model.head.stride if model.head else 0, maximum)
    elif stride > maximum:
        raise BadRequest(
            f"`parameters.stride` is {stride}; the windows of this model can share at most {maximum} tokens"
        )
    rows: list[list[Row]] = []
    for text in texts:
        remaining = MAX_WINDOWS - sum(map(len, rows))
        whole = tokenize_whole(tokenizer, text)
        observe_text(text, len(whole.ids))
        rows.append(windows(tokenizer, whole, size, stride, maximum=remaining))
    return rows


def run(model: Tagger, rows: Sequence[Row]) -> list[np.ndarray[Any, Any]]:
    """Scores (tokens, labels) of each window."""
    names, pad_id = model.input_names["main"], model.preprocessing.pad_id
    scores = []
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        logits = model.run(pad(batch, pad_id, names))[0]  # (windows, tokens, labels)
        scores += [activate(logits[index, : len(row.ids)], "softmax") for index, row in enumerate(batch)]
    return scores


def decode(model: Tagger, request: Request, texts: list[list[Row]], scores: Sequence[np.ndarray[Any, Any]]) -> Response:
    parameters, decoder = request.parameters, model.tokenizer.decoder
    sources = [request.inputs] if isinstance(request.inputs, str) else request.inputs
    remaining, results = iter(scores), []
    for source, rows in zip(sources, texts, strict=True):
        entities = [
            aggregate(
                gather_pre_entities(model.tokenizer, row, source, next(remaining)),
                model.manifest.labels,
                parameters.aggregation_strategy,
                decoder.decode if decoder is not None else " ".join,
            )
            for row in rows
        ]
        kept = [entity for window in entities for entity in window if entity.label not in parameters.ignore_labels]
        kept = strip(kept, source)
        kept = aggregate_overlapping_entities(kept) if len(rows) > 1 else kept
        if parameters.aggregation_strategy == "none":
            results.append([Entity(e.score, e.word, e.start, e.end, e.label, e.index) for e in kept])
        else:
            results.append([Entity(e.score, e.word, e.start, e.end, entity_group=e.label) for e in kept])
    return [*results[0]] if isinstance(request.inputs, str) else [*results]


def predict(model: Tagger, request: Request) -> Prediction:
    with step("encode"):
        texts = encode(model, request)
    rows = [row for windows_of_text in texts for row in windows_of_text]
    with step("run"):
        scores = run(model, rows)
    with step("decode"):
        response = decode(model, request, texts, scores)
    return Prediction(response, Usage(len(texts), sum(len(row.ids) for row in rows)))


TASKS = (
    explainable(
        Task(
            "token-classification",
            Request,
            Response,
            predict,
            {"inputs": "Maria lives in Berlin and works for Siemens."},
        )
    ),
)
handler = create_handler(TASKS)
