"""image-classification: labels and their scores for a picture."""

from __future__ import annotations

from hearth.models import preload

preload.start()  # before the imports that take long

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from hearth.models.cache import warm
from hearth.aws_lambda.handler import create_handler
from hearth.models.manifest import ImagePreprocessing
from hearth.models.model import Model
from hearth.ops.vision.images import open_pictures, to_tensor
from hearth.ops.activations import activate, best
from hearth.tasks.task import Task
from hearth.telemetry.timing import step


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    top_k: Annotated[int, Meta(ge=1)] = 5
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = None


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: bytes | list[bytes]
    """Encoded pictures; base64 in JSON."""
    parameters: Parameters = Parameters()


class Score(Struct, frozen=True):
    label: str
    score: float


Response = list[Score | list[Score]]
"""The scores of the picture, best first; a list of them for each picture where a list came."""


def encode(model: Model, request: Request) -> dict[str, np.ndarray[Any, Any]]:
    """Pixels, (batch, 3, height, width) float32. Raises BadRequest, PayloadTooLarge, UnsupportedMedia."""
    pictures = [request.inputs] if isinstance(request.inputs, bytes) else request.inputs
    how = model.manifest.preprocessing
    assert isinstance(how, ImagePreprocessing)  # noqa: S101 -- what the manifest's schema promises of the task
    name = model.manifest.graphs["main"].inputs[0].name
    return {name: to_tensor(open_pictures(pictures, model.manifest.limits), how, len(pictures))}


def decode(model: Model, request: Request, outputs: list[np.ndarray[Any, Any]]) -> Response:
    wanted = request.parameters
    scores = activate(outputs[0], wanted.function_to_apply or model.manifest.activation)  # (batch, labels)
    labels = model.manifest.labels
    found = [[Score(labels[index], float(row[index])) for index in best(row, wanted.top_k)] for row in scores]
    return [*found[0]] if isinstance(request.inputs, bytes) else [*found]


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


# The example is a red pixel as PNG.
TASKS = (
    Task(
        "image-classification",
        Request,
        Response,
        predict,
        {"inputs": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"},
        binary=True,
    ),
)
handler = create_handler(TASKS)
