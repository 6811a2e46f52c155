"""text-ranking: how well each of several texts fits a query, by a cross-encoder that reads them together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from hearth import deadline
from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.heads import Ranking
from hearth.models.model import Model
from hearth.models.preprocessing import TextPreprocessing
from hearth.ops.activations import activate
from hearth.ops.text.windows import Row, check_lengths, pad, tokenize_whole, truncate, window_capacity
from hearth.tasks.schema import Explainable, Explained
from hearth.tasks.task import Prediction, Task, Usage, explainable
from hearth.telemetry.timing import step

BATCH = 16
"""Number of pairs per run, which bounds memory."""
MAX_TEXTS = 1000
"""Largest number of texts of a request."""

Ranker = Model[TextPreprocessing, Ranking]


class Parameters(Explainable, frozen=True):
    top_n: Annotated[int, Meta(ge=1)] | None = None
    """Return only so many texts."""
    raw_scores: bool = False
    """Whether scores are logits instead of values from 0 to 1."""
    return_text: bool = False
    truncate: bool = True
    """Whether a text that is too long is truncated; otherwise it is refused."""
    truncation_direction: Literal["left", "right"] = "right"
    """The side of the text that is cut off."""


class Candidates(Struct, frozen=True, forbid_unknown_fields=True):
    query: str
    texts: list[str]


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: Candidates
    parameters: Parameters = Parameters()


class RankedText(Struct, frozen=True, omit_defaults=True):
    index: int
    """The text's place in the request."""
    score: float
    text: str | None = None


Response = list[RankedText] | Explained
"""The texts, best first."""


def encode(model: Ranker, request: Request) -> list[Row]:
    """Pairs of the query with each text. Raises BadRequest, PayloadTooLarge."""
    query, texts, parameters = request.inputs.query, request.inputs.texts, request.parameters
    if not texts:
        raise BadRequest("`inputs.texts` is empty; send at least one text to rank")
    if not query.strip():
        raise BadRequest("`inputs.query` is empty; send what the texts are ranked by")
    if len(texts) > MAX_TEXTS:
        raise PayloadTooLarge(f"`inputs.texts` has {len(texts)} texts; {MAX_TEXTS} are allowed in one request")
    check_lengths([query, *texts], model.manifest.limits)
    first = tokenize_whole(model.tokenizer, query)
    capacity = window_capacity(model.tokenizer, model.preprocessing.max_tokens, first)
    if capacity < 1:
        raise BadRequest(f"The query has {len(first.ids)} tokens, which leaves no room for the texts; shorten it")
    rows = []
    for number, text in enumerate(texts):
        second = tokenize_whole(model.tokenizer, text)
        if len(second.ids) > capacity and not parameters.truncate:
            raise PayloadTooLarge(
                f"`inputs.texts[{number}]` has {len(second.ids)} tokens; {capacity} fit beside the query"
            )
        rows.append(model.tokenizer.post_process(first, truncate(second, capacity, parameters.truncation_direction)))
    return rows


def run(model: Ranker, rows: Sequence[Row]) -> np.ndarray[Any, Any]:
    """Logits (texts,). Pairs of similar length run together."""
    names, pad_id = model.input_names["main"], model.preprocessing.pad_id
    order = sorted(range(len(rows)), key=lambda index: len(rows[index].ids))
    logits = np.zeros(len(rows), np.float32)
    for start in range(0, len(order), BATCH):
        deadline.check()
        indices = order[start : start + BATCH]
        logits[indices] = model.run(pad([rows[index] for index in indices], pad_id, names))[0][:, 0]
    return logits


def decode(model: Ranker, request: Request, logits: np.ndarray[Any, Any]) -> Response:
    parameters, texts = request.parameters, request.inputs.texts
    scores = logits if parameters.raw_scores else activate(logits, "sigmoid")
    order = np.argsort(-logits, kind="stable")[: parameters.top_n]
    return [
        RankedText(int(index), float(scores[index]), texts[index] if parameters.return_text else None)
        for index in order
    ]


def predict(model: Ranker, request: Request) -> Prediction:
    with step("encode"):
        rows = encode(model, request)
    with step("run"):
        logits = run(model, rows)
    with step("decode"):
        response = decode(model, request, logits)
    return Prediction(response, Usage(len(rows), sum(len(row.ids) for row in rows)))


TASKS = (
    explainable(
        Task(
            "text-ranking",
            Request,
            Response,
            predict,
            {
                "inputs": {
                    "query": "Who bought the mill?",
                    "texts": ["Anna Berg bought it from her uncle.", "The night train leaves at nine."],
                }
            },
        )
    ),
)
handler = create_handler(TASKS)
