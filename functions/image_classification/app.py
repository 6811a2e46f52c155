"""image-classification: labels with scores for a picture."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from hearth.aws_lambda.handler import create_handler
from hearth.models.model import Model
from hearth.models.preprocessing import ImagePreprocessing
from hearth.ops.activations import activate, top_indices
from hearth.ops.vision.images import open_images, to_tensor
from hearth.tasks.schema import Explainable, Explained, Label
from hearth.tasks.task import Prediction, Task, Usage, explainable
from hearth.telemetry.observation import observe_label, observe_pictures
from hearth.telemetry.timing import step

Classifier = Model[ImagePreprocessing, None]


class Parameters(Explainable, frozen=True):
    top_k: Annotated[int, Meta(ge=1)] = 5
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = None


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: bytes | list[bytes]
    """Encoded pictures; base64 in JSON."""
    parameters: Parameters = Parameters()


Response = list[Label | list[Label]] | Explained
"""The scores of the picture, best first; one list per picture for a list of pictures."""


def encode(model: Classifier, request: Request) -> dict[str, np.ndarray[Any, Any]]:
    """Pixels, (batch, 3, height, width) float32. Raises BadRequest, PayloadTooLarge, UnsupportedMedia."""
    files = [request.inputs] if isinstance(request.inputs, bytes) else request.inputs
    images = observe_pictures(open_images(files, model.manifest.limits))
    return {model.input_names["main"][0]: to_tensor(images, model.preprocessing, len(files))}


def decode(model: Classifier, request: Request, outputs: list[np.ndarray[Any, Any]]) -> Response:
    parameters, labels = request.parameters, model.manifest.labels
    scores = activate(outputs[0], parameters.function_to_apply or model.manifest.activation)  # (batch, labels)
    ranked = [*zip(scores.tolist(), top_indices(scores, parameters.top_k), strict=True)]
    for row, indices in ranked:
        observe_label(indices[0], row[indices[0]])
    results = [[Label(labels[index], row[index]) for index in indices] for row, indices in ranked]
    return [*results[0]] if isinstance(request.inputs, bytes) else [*results]


def predict(model: Classifier, request: Request) -> Prediction:
    with step("encode"):
        feeds = encode(model, request)
    with step("run"):
        outputs = model.run(feeds)
    with step("decode"):
        response = decode(model, request, outputs)
    return Prediction(response, Usage(len(outputs[0])))


# The example is a red pixel as PNG.
TASKS = (
    explainable(
        Task(
            "image-classification",
            Request,
            Response,
            predict,
            {"inputs": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"},
        )
    ),
)
handler = create_handler(TASKS)
