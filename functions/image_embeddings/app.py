"""zero-shot-image-classification: scores of the caller's labels for a picture; image-feature-extraction: its vector."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest
from hearth.models.heads import Contrastive
from hearth.models.model import Model
from hearth.models.preprocessing import ImagePreprocessing
from hearth.ops.activations import activate, top_indices
from hearth.ops.vision.images import open_images, to_tensor
from hearth.tasks.schema import Explainable, Explained, Label
from hearth.tasks.task import Prediction, Task, Usage, explainable
from hearth.telemetry.observation import observe_pictures
from hearth.telemetry.timing import step

MAX_LABELS = 100
"""Largest number of candidate labels."""
BATCH = 8
"""Number of pictures per run, which bounds the memory that a long list takes."""

ContrastiveModel = Model[ImagePreprocessing, Contrastive]
LabelText = Annotated[str, Meta(max_length=1000)]
Array = np.ndarray[Any, Any]


class EmbeddingParameters(Struct, frozen=True, forbid_unknown_fields=True):
    normalize: bool = True
    """Whether vectors have the length one."""


class EmbeddingRequest(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: bytes | list[bytes]
    """Encoded pictures; base64 in JSON."""
    parameters: EmbeddingParameters = EmbeddingParameters()


EmbeddingResponse = list[list[float]]
"""One vector per picture."""


class Parameters(Explainable, frozen=True):
    candidate_labels: (
        Annotated[list[LabelText], Meta(min_length=1, max_length=MAX_LABELS)] | Annotated[str, Meta(max_length=20_000)]
    )
    """A list of labels, or labels separated by commas."""
    hypothesis_template: LabelText | None = None
    """The sentence that stands for a label, with {} in its place; default: from the manifest."""
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = None


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: bytes | list[bytes]
    """Encoded pictures; base64 in JSON."""
    parameters: Parameters


Response = list[Label | list[Label]] | Explained
"""The scores of all labels, best first; one list per picture for a list of pictures."""


def encode(model: ContrastiveModel, inputs: bytes | list[bytes]) -> list[Array]:
    """Batches of pixels, (batch, 3, height, width) float32. Raises BadRequest, PayloadTooLarge, UnsupportedMedia."""
    files = [inputs] if isinstance(inputs, bytes) else inputs
    images = [*observe_pictures(open_images(files, model.manifest.limits))]
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    return [to_tensor(batch, model.preprocessing, len(batch)) for batch in batches]


def embed_images(model: ContrastiveModel, batches: list[Array]) -> Array:
    """(pictures, dimensions)."""
    name = model.input_names["main"][0]
    return np.concatenate([model.run({name: pixels})[0] for pixels in batches])


def embed_texts(model: ContrastiveModel, texts: list[str]) -> Array:
    """(texts, dimensions)."""
    head, names = model.head, model.input_names["text"]
    encodings = model.tokenizer.encode_batch_fast(texts)
    length = head.max_tokens if head.fixed_length else max(len(encoding.ids) for encoding in encodings)
    ids = np.full((len(texts), length), head.pad_id, np.int64)
    mask = np.zeros((len(texts), length), np.int64)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding.ids)] = encoding.ids
        mask[row, : len(encoding.ids)] = 1
    feeds = {"input_ids": ids, "attention_mask": mask}
    return model.run({name: feeds[name] for name in names}, "text")[0]


def normalise(vectors: Array) -> Array:
    """Vectors of the length one."""
    result: Array = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return result


def read_labels(parameters: Parameters) -> list[str]:
    """Raises BadRequest."""
    labels = parameters.candidate_labels
    if isinstance(labels, str):
        labels = [label.strip() for label in labels.split(",")]
    if not all(label.strip() for label in labels) or len(set(labels)) < len(labels) or len(labels) > MAX_LABELS:
        raise BadRequest(f"`candidate_labels` must be different texts that are not empty, at most {MAX_LABELS}")
    return labels


def decode(request: Request, labels: list[str], scores: Array) -> Response:
    """`scores`: (pictures, labels)."""
    ranked = zip(scores.tolist(), top_indices(scores, len(labels)), strict=True)
    results = [[Label(labels[index], row[index]) for index in indices] for row, indices in ranked]
    return [*results[0]] if isinstance(request.inputs, bytes) else [*results]


def predict(model: ContrastiveModel, request: Request) -> Prediction:
    """Raises BadRequest, PayloadTooLarge, UnsupportedMedia."""
    head, labels = model.head, read_labels(request.parameters)
    if head.tokenizer is None:
        raise BadRequest("This model has no text encoder, so it only gives vectors: use image-feature-extraction")
    template = request.parameters.hypothesis_template or head.template
    if "{}" not in template:
        raise BadRequest("`hypothesis_template` must have {} in the place of the label")
    with step("encode"):
        batches = encode(model, request.inputs)
    with step("run"):
        images = normalise(embed_images(model, batches))
        texts = normalise(embed_texts(model, [template.replace("{}", label) for label in labels]))
    with step("decode"):
        logits = (head.scale * images @ texts.T + head.bias).astype(np.float32)  # (pictures, labels)
        scores = activate(logits, request.parameters.function_to_apply or model.manifest.activation)
        response = decode(request, labels, scores)
    return Prediction(response, Usage(len(images)))


def predict_vectors(model: ContrastiveModel, request: EmbeddingRequest) -> Prediction:
    with step("encode"):
        batches = encode(model, request.inputs)
    with step("run"):
        vectors = embed_images(model, batches)
    with step("decode"):
        response = (normalise(vectors) if request.parameters.normalize else vectors).tolist()
    return Prediction(response, Usage(len(response)))


# The example is a red pixel as PNG.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
TASKS = (
    explainable(
        Task(
            "zero-shot-image-classification",
            Request,
            Response,
            predict,
            {"inputs": PIXEL, "parameters": {"candidate_labels": ["a cat", "a dog"]}},
        )
    ),
    Task("image-feature-extraction", EmbeddingRequest, EmbeddingResponse, predict_vectors, {"inputs": PIXEL}),
)
handler = create_handler(TASKS)
