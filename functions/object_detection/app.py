"""object-detection: objects in a picture, with labels and boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest
from hearth.ops.vision.drawing import draw_boxes, to_jpeg
from hearth.ops.vision.images import open_images
from hearth.tasks.detection import DetectionModel, Detections, detect
from hearth.tasks.schema import Box, Explainable, Explained
from hearth.tasks.task import Prediction, Task, Usage, explainable
from hearth.telemetry.observation import observe_boxes, observe_pictures
from hearth.telemetry.timing import step

if TYPE_CHECKING:
    from PIL.Image import Image


class Parameters(Explainable, frozen=True):
    threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Smallest score of a box; default: from the manifest."""
    iou: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Of two boxes of a label that overlap more, the one with the lower score is dropped; default: from the
    manifest."""
    annotate: bool = False
    """Whether the response also has the picture with the boxes drawn in."""


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: bytes | list[bytes]
    """Encoded pictures; base64 in JSON."""
    parameters: Parameters = Parameters()


class Detection(Struct, frozen=True):
    label: str
    score: float
    box: Box


class AnnotatedImage(Struct, frozen=True):
    boxes: list[Detection]
    picture: bytes
    """JPEG, upright; base64 in JSON."""


Response = list[Detection | list[Detection]] | AnnotatedImage | Explained
"""The boxes of the picture, best first; one list per picture for a list of pictures; with `annotate` also the
picture."""


def encode(model: DetectionModel, request: Request) -> list[Image]:
    """The pictures, upright RGB. Raises BadRequest, PayloadTooLarge, UnsupportedMedia."""
    files = [request.inputs] if isinstance(request.inputs, bytes) else request.inputs
    if request.parameters.annotate and not isinstance(request.inputs, bytes):
        raise BadRequest("`annotate` works with one picture; send it alone, not in a list")
    return [*observe_pictures(open_images(files, model.manifest.limits))]


def decode(model: DetectionModel, request: Request, images: list[Image], outputs: list[Detections]) -> Response:
    labels = model.manifest.labels
    results = [
        [
            Detection(labels[class_id], float(score), Box(*(round(float(edge)) for edge in edges)))
            for edges, score, class_id in zip(row.boxes, row.scores, row.classes, strict=True)
        ]
        for row in outputs
    ]
    if not request.parameters.annotate:
        return [*results[0]] if isinstance(request.inputs, bytes) else [*results]
    captions = [f"{detection.label} {detection.score:.2f}" for detection in results[0]]
    draw_boxes(images[0], outputs[0].boxes.tolist(), captions, outputs[0].classes.tolist())
    return AnnotatedImage(results[0], to_jpeg(images[0]))


def predict(model: DetectionModel, request: Request) -> Prediction:
    head, parameters = model.head, request.parameters
    threshold = head.threshold if parameters.threshold is None else parameters.threshold
    iou = head.iou if parameters.iou is None else parameters.iou
    with step("encode"):
        images = encode(model, request)
    with step("run"):
        outputs = detect(model, images, threshold, iou)
    if threshold <= head.threshold:
        for row in outputs:
            usual = row.scores >= head.threshold
            observe_boxes(row.classes[usual].tolist(), row.scores[usual].tolist())
    with step("decode"):
        response = decode(model, request, images, outputs)
    return Prediction(response, Usage(len(images)))


# The example is a red pixel as PNG.
TASKS = (
    explainable(
        Task(
            "object-detection",
            Request,
            Response,
            predict,
            {"inputs": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"},
        )
    ),
)
handler = create_handler(TASKS)
