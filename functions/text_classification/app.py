"""text-classification: labels with scores for a text; zero-shot-classification: the same for the caller's labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.heads import Entailment
from hearth.models.model import Model
from hearth.models.preprocessing import TextPreprocessing
from hearth.ops.activations import activate, top_indices
from hearth.ops.text.windows import Row, list_texts, pad, tokenize_whole, truncate, window_capacity
from hearth.tasks.schema import Explainable, Explained, Label
from hearth.tasks.task import Prediction, Task, Usage, explainable
from hearth.telemetry.observation import observe_label, observe_texts
from hearth.telemetry.timing import step

MAX_LABELS = 100
"""Largest number of candidate labels of a zero-shot classification."""
MAX_ROWS = 512
"""Largest number of texts times labels of a request; each is a row of the model's input."""
BATCH = 16
"""Number of rows per run."""

Classifier = Model[TextPreprocessing, Any]
LabelText = Annotated[str, Meta(max_length=1000)]


class Parameters(Explainable, frozen=True):
    top_k: Annotated[int, Meta(ge=1)] | None = None
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = None


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: str | list[str]
    parameters: Parameters = Parameters()


Response = list[list[Label]] | Explained
"""The scores of each text, best first."""


def encode(model: Classifier, request: Request) -> dict[str, np.ndarray[Any, Any]]:
    """Token ids and mask, (batch, longest text) int64. Raises BadRequest, PayloadTooLarge."""
    texts = list_texts(request.inputs, model.manifest.limits, refuse_blank=True)
    feeds = pad(model.tokenizer.encode_batch_fast(texts), model.preprocessing.pad_id, model.input_names["main"])
    observe_texts(model, texts, feeds)
    return feeds


def decode(model: Classifier, request: Request, outputs: list[np.ndarray[Any, Any]]) -> Response:
    parameters, labels = request.parameters, model.manifest.labels
    scores = activate(outputs[0], parameters.function_to_apply or model.manifest.activation)  # (batch, labels)
    count = parameters.top_k or len(labels)
    ranked = [*zip(scores.tolist(), top_indices(scores, count), strict=True)]
    for row, indices in ranked:
        observe_label(indices[0], row[indices[0]])
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


class ZeroShotParameters(Explainable, frozen=True):
    candidate_labels: (
        Annotated[list[LabelText], Meta(min_length=1, max_length=MAX_LABELS)] | Annotated[str, Meta(max_length=20_000)]
    )
    """A list of labels, or labels separated by commas."""
    hypothesis_template: LabelText = "This example is {}."
    """The hypothesis that a text has a label; {} is replaced by the label."""
    multi_label: bool = False
    """Whether several labels can be true; otherwise exactly one is."""


class ZeroShotRequest(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: str | list[str]
    parameters: ZeroShotParameters


ZeroShotResponse = list[Label | list[Label]] | Explained
"""The scores of all labels, best first; one list per text for a list of texts."""


def encode_zero_shot(model: Classifier, request: ZeroShotRequest) -> list[Row]:
    """Pairs of each text with each label's hypothesis. Raises BadRequest, PayloadTooLarge."""
    if not isinstance(model.head, Entailment):
        raise BadRequest(f"{model.manifest.model} has only its own labels; use it for text-classification")
    texts, template = (
        list_texts(request.inputs, model.manifest.limits, refuse_blank=True),
        request.parameters.hypothesis_template,
    )
    if "{}" not in template:
        raise BadRequest("`parameters.hypothesis_template` must contain {}, which is replaced by the label")
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
            rows.append(model.tokenizer.post_process(truncate(premise, capacity), hypothesis))
    return rows


def candidate_labels(request: ZeroShotRequest) -> list[str]:
    """The labels of a request. Raises BadRequest."""
    candidates = request.parameters.candidate_labels
    labels = [label.strip() for label in candidates.split(",")] if isinstance(candidates, str) else candidates
    if not all(label.strip() for label in labels) or len(labels) > MAX_LABELS:
        raise BadRequest(f"`parameters.candidate_labels` must be one to {MAX_LABELS} labels, none of them empty")
    return labels


def run_zero_shot(model: Classifier, rows: Sequence[Row]) -> np.ndarray[Any, Any]:
    """Logits (rows, labels of the model)."""
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    names, pad_id = model.input_names["main"], model.preprocessing.pad_id
    return np.concatenate([model.run(pad(batch, pad_id, names))[0] for batch in batches])


def decode_zero_shot(model: Classifier, request: ZeroShotRequest, logits: np.ndarray[Any, Any]) -> ZeroShotResponse:
    head, labels = model.head, candidate_labels(request)
    logits = logits.reshape(-1, len(labels), logits.shape[1])  # (texts, candidates, labels of the model)
    if request.parameters.multi_label or len(labels) == 1:
        scores = activate(logits[..., [head.contradiction, head.entailment]], "softmax")[..., 1]
    else:
        scores = activate(logits[..., head.entailment], "softmax")
    ranked = zip(scores.tolist(), top_indices(scores, len(labels)), strict=True)
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
    explainable(Task("text-classification", Request, Response, predict, {"inputs": "I like this film very much."})),
    explainable(
        Task(
            "zero-shot-classification",
            ZeroShotRequest,
            ZeroShotResponse,
            predict_zero_shot,
            {
                "inputs": "My phone does not charge.",
                "parameters": {"candidate_labels": ["complaint", "praise"]},
            },
        )
    ),
)
handler = create_handler(TASKS)
