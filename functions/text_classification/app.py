"""text-classification: labels and their scores for a text; zero-shot-classification: labels that the caller names."""

from __future__ import annotations

from hearth.models import preload

preload.start("tokenizers")  # before the imports that take long

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from hearth.models.cache import warm
from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.manifest import Entailment, TextPreprocessing
from hearth.models.model import Model
from hearth.ops.activations import activate, best
from hearth.ops.text.windows import Row, first, pad, room, texts_of, whole
from hearth.tasks.task import Task
from hearth.telemetry.timing import step

LABELS = 100
"""That a caller may name for a zero-shot classification."""
ROWS = 512
"""Of texts with labels in one request; each is a run of the network."""
BATCH = 16
"""Rows of one run."""


Label = Annotated[str, Meta(max_length=1000)]
Labels = Annotated[str, Meta(max_length=20_000)]


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
    return pad(model.tokenizer.encode_batch_fast(texts), how.pad_id, inputs)


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


class ZeroShotParameters(Struct, frozen=True, forbid_unknown_fields=True):
    candidate_labels: (
        Annotated[list[Label], Meta(min_length=1, max_length=LABELS)] | Annotated[str, Meta(max_length=20_000)]
    )
    """A list, or words between commas."""
    hypothesis_template: Label = "This example is {}."
    """The sentence that says a text has a label, which stands for {}."""
    multi_label: bool = False
    """Whether each label is true or false by itself, or one of them is true."""


class ZeroShotRequest(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: str | list[str]
    parameters: ZeroShotParameters


ZeroShotResponse = list[Score | list[Score]]
"""Every label's score, best first; a list of them for each text where a list came."""


def encode_zero_shot(model: Model, request: ZeroShotRequest) -> list[Row]:
    """Each text with each label's hypothesis. Raises BadRequest, PayloadTooLarge."""
    how, tokenizer = model.manifest.preprocessing, model.tokenizer
    assert isinstance(how, TextPreprocessing)  # noqa: S101
    assert tokenizer is not None  # noqa: S101
    if not isinstance(model.manifest.head, Entailment):
        raise BadRequest(f"{model.manifest.model} knows only labels of its own: ask it for text-classification")
    texts, template = texts_of(request.inputs, model.manifest.limits), request.parameters.hypothesis_template
    if "{}" not in template:
        raise BadRequest("`parameters.hypothesis_template` must have {} where the label goes")
    labels = labels_of(request)
    if len(texts) * len(labels) > ROWS:
        raise PayloadTooLarge(f"{len(texts)} texts with {len(labels)} labels are more than {ROWS} in one request")
    hypotheses = [whole(tokenizer, template.replace("{}", label)) for label in labels]
    rows = []
    for text in texts:
        premise = whole(tokenizer, text)
        for number, hypothesis in enumerate(hypotheses, 1):
            left = room(tokenizer, how.max_tokens, hypothesis)
            if left < 1:
                raise BadRequest(f"Label {number} in its template leaves no room for the text; shorten them")
            rows.append(tokenizer.post_process(first(premise, left), hypothesis))
    return rows


def labels_of(request: ZeroShotRequest) -> list[str]:
    wanted = request.parameters.candidate_labels
    labels = [label.strip() for label in wanted.split(",")] if isinstance(wanted, str) else wanted
    if not all(label.strip() for label in labels) or len(labels) > LABELS:
        raise BadRequest(f"`parameters.candidate_labels` must be one to {LABELS} words, none of them empty")
    return labels


def run_zero_shot(model: Model, rows: Sequence[Row]) -> np.ndarray[Any, Any]:
    """Logits (rows, labels of the network)."""
    how, inputs = model.manifest.preprocessing, [tensor.name for tensor in model.manifest.graphs["main"].inputs]
    assert isinstance(how, TextPreprocessing)  # noqa: S101
    parts = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    return np.concatenate([model.run(pad(part, how.pad_id, inputs))[0] for part in parts])


def decode_zero_shot(model: Model, request: ZeroShotRequest, logits: np.ndarray[Any, Any]) -> ZeroShotResponse:
    head, labels = model.manifest.head, labels_of(request)
    assert isinstance(head, Entailment)  # noqa: S101
    each = logits.reshape(-1, len(labels), logits.shape[1])  # (texts, candidates, labels of the network)
    if request.parameters.multi_label or len(labels) == 1:
        scores = activate(each[..., [head.contradiction, head.entailment]], "softmax")[..., 1]
    else:
        scores = activate(each[..., head.entailment], "softmax")
    found = [[Score(labels[index], float(row[index])) for index in best(row, len(labels))] for row in scores]
    return [*found[0]] if isinstance(request.inputs, str) else [*found]


def answer_zero_shot(model: Model, request: ZeroShotRequest) -> ZeroShotResponse:
    with step("encode"):
        rows = encode_zero_shot(model, request)
    with step("run"):
        logits = run_zero_shot(model, rows)
    with step("decode"):
        return decode_zero_shot(model, request, logits)


def predict_zero_shot(name: str, request: ZeroShotRequest) -> ZeroShotResponse:
    with warm().get(name) as model:
        return answer_zero_shot(model, request)


TASKS = (
    Task(
        "text-classification",
        Request,
        Response,
        predict,
        {"inputs": "I like this film very much."},
        serves=("zero-shot-classification",),
    ),
    Task(
        "zero-shot-classification",
        ZeroShotRequest,
        ZeroShotResponse,
        predict_zero_shot,
        {
            "inputs": "My phone does not charge.",
            "parameters": {"candidate_labels": ["complaint", "praise"]},
        },
        serves=("text-classification",),
    ),
)
handler = create_handler(TASKS)
