"""text-classification: labels and their scores for a text; zero-shot-classification: labels that the caller names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.manifest import Entailment, TextPreprocessing
from hearth.models.model import Model
from hearth.ops.activations import activate, best
from hearth.ops.text.windows import Row, list_texts, pad, tokenize_whole, truncated, window_capacity
from hearth.tasks.schema import Label
from hearth.tasks.task import Prediction, Task, Usage
from hearth.telemetry.timing import step

MAX_LABELS = 100
"""That a caller may name for a zero-shot classification."""
MAX_ROWS = 512
"""Texts times labels of one request; each is a run of the network."""
BATCH = 16
"""Rows of one run."""

Classifier = Model[TextPreprocessing, Any]
LabelText = Annotated[str, Meta(max_length=1000)]


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    top_k: Annotated[int, Meta(ge=1)] | None = None
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = None


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: str | list[str]
    parameters: Parameters = Parameters()


Response = list[list[Label]]
"""The scores of each text, best first."""


def encode(model: Classifier, request: Request) -> dict[str, np.ndarray[Any, Any]]:
    """Token ids and mask, (batch, longest text) int64. Raises BadRequest, PayloadTooLarge."""
    texts = list_texts(request.inputs, model.manifest.limits)
    return pad(model.tokenizer.encode_batch_fast(texts), model.preprocessing.pad_id, model.input_names["main"])


def decode(model: Classifier, request: Request, outputs: list[np.ndarray[Any, Any]]) -> Response:
    parameters, labels = request.parameters, model.manifest.labels
    scores = activate(outputs[0], parameters.function_to_apply or model.manifest.activation)  # (batch, labels)
    count = parameters.top_k or len(labels)
    ranked = zip(scores.tolist(), best(scores, count), strict=True)
    return [[Label(labels[index], row[index]) for index in indices] for row, indices in ranked]


def predict(model: Classifier, request: Request) -> Prediction:
    with step("encode"):
        feeds = encode(model, request)
    with step("run"):
        outputs = model.run(feeds)
    with step("decode"):
        response = decode(model, request, outputs)
    mask = feeds["attention_mask"]
    return Prediction(response, Usage(len(mask), int(np.count_nonzero(mask))))


class ZeroShotParameters(Struct, frozen=True, forbid_unknown_fields=True):
    candidate_labels: (
        Annotated[list[LabelText], Meta(min_length=1, max_length=MAX_LABELS)] | Annotated[str, Meta(max_length=20_000)]
    )
    """A list, or labels between commas."""
    hypothesis_template: LabelText = "This example is {}."
    """The sentence that says a text has a label; {} stands for the label."""
    multi_label: bool = False
    """Whether each label is true or false by itself, or exactly one of them is true."""


class ZeroShotRequest(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: str | list[str]
    parameters: ZeroShotParameters


ZeroShotResponse = list[Label | list[Label]]
"""Every label's score, best first; a list of them for each text where a list came."""


def encode_zero_shot(model: Classifier, request: ZeroShotRequest) -> list[Row]:
    """Each text with each label's hypothesis. Raises BadRequest, PayloadTooLarge."""
    if not isinstance(model.head, Entailment):
        raise BadRequest(f"{model.manifest.model} knows only labels of its own: ask it for text-classification")
    texts, template = list_texts(request.inputs, model.manifest.limits), request.parameters.hypothesis_template
    if "{}" not in template:
        raise BadRequest("`parameters.hypothesis_template` must have {} where the label goes")
    labels = candidate_labels(request)
    if len(texts) * len(labels) > MAX_ROWS:
        raise PayloadTooLarge(f"{len(texts)} texts with {len(labels)} labels are more than {MAX_ROWS} in one request")
    hypotheses = [tokenize_whole(model.tokenizer, template.replace("{}", label)) for label in labels]
    rows = []
    for text in texts:
        premise = tokenize_whole(model.tokenizer, text)
        for number, hypothesis in enumerate(hypotheses, 1):
            capacity = window_capacity(model.tokenizer, model.preprocessing.max_tokens, hypothesis)
            if capacity < 1:
                raise BadRequest(f"Label {number} in its template leaves no room for the text; shorten them")
            rows.append(model.tokenizer.post_process(truncated(premise, capacity), hypothesis))
    return rows


def candidate_labels(request: ZeroShotRequest) -> list[str]:
    """Raises BadRequest."""
    candidates = request.parameters.candidate_labels
    labels = [label.strip() for label in candidates.split(",")] if isinstance(candidates, str) else candidates
    if not all(label.strip() for label in labels) or len(labels) > MAX_LABELS:
        raise BadRequest(f"`parameters.candidate_labels` must be one to {MAX_LABELS} labels, none of them empty")
    return labels


def run_zero_shot(model: Classifier, rows: Sequence[Row]) -> np.ndarray[Any, Any]:
    """Logits (rows, labels of the network)."""
    parts = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    names, pad_id = model.input_names["main"], model.preprocessing.pad_id
    return np.concatenate([model.run(pad(part, pad_id, names))[0] for part in parts])


def decode_zero_shot(model: Classifier, request: ZeroShotRequest, logits: np.ndarray[Any, Any]) -> ZeroShotResponse:
    head, labels = model.head, candidate_labels(request)
    each = logits.reshape(-1, len(labels), logits.shape[1])  # (texts, candidates, labels of the network)
    if request.parameters.multi_label or len(labels) == 1:
        scores = activate(each[..., [head.contradiction, head.entailment]], "softmax")[..., 1]
    else:
        scores = activate(each[..., head.entailment], "softmax")
    ranked = zip(scores.tolist(), best(scores, len(labels)), strict=True)
    results = [[Label(labels[index], row[index]) for index in indices] for row, indices in ranked]
    return [*results[0]] if isinstance(request.inputs, str) else [*results]


def predict_zero_shot(model: Classifier, request: ZeroShotRequest) -> Prediction:
    with step("encode"):
        rows = encode_zero_shot(model, request)
    with step("run"):
        logits = run_zero_shot(model, rows)
    with step("decode"):
        response = decode_zero_shot(model, request, logits)
    texts = 1 if isinstance(request.inputs, str) else len(request.inputs)
    return Prediction(response, Usage(texts, sum(len(row.ids) for row in rows)))


TASKS = (
    Task("text-classification", Request, Response, predict, {"inputs": "I like this film very much."}),
    Task(
        "zero-shot-classification",
        ZeroShotRequest,
        ZeroShotResponse,
        predict_zero_shot,
        {
            "inputs": "My phone does not charge.",
            "parameters": {"candidate_labels": ["complaint", "praise"]},
        },
    ),
)
handler = create_handler(TASKS)
