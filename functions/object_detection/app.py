"""object-detection: what is where in a picture."""

from __future__ import annotations

from hearth.models import preload

preload.start()  # before the imports that take long

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from hearth.models.cache import warm
from hearth.tasks.detection import Detections, detect
from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest
from hearth.models.manifest import Detector
from hearth.models.model import Model
from hearth.ops.vision.drawing import draw_boxes, to_jpeg
from hearth.ops.vision.images import open_pictures
from hearth.tasks.task import Task
from hearth.telemetry.timing import step

if TYPE_CHECKING:
    from PIL.Image import Image


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Least score of a box; the manifest's where none is sent."""
    iou: Annotated[float, Meta(ge=0, le=1)] | None = None
    """Of two boxes of a label that overlap more, the weaker one goes."""
    annotate: bool = False
    """Answer with the picture too, boxes drawn in."""


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: bytes | list[bytes]
    """Encoded pictures; base64 in JSON."""
    parameters: Parameters = Parameters()


class Box(Struct, frozen=True):
    """In pixels of the picture that was sent, upright."""

    xmin: int
    ymin: int
    xmax: int
    ymax: int


class Found(Struct, frozen=True):
    label: str
    score: float
    box: Box


class Drawn(Struct, frozen=True):
    boxes: list[Found]
    picture: bytes
    """JPEG, upright; base64 in JSON."""


Response = list[Found | list[Found]] | Drawn
"""The boxes of the picture, best first; a list of them for each picture where a list came; with `annotate` the picture
beside them."""


def encode(model: Model, request: Request) -> list[Image]:
    """The pictures, upright RGB. Raises BadRequest, PayloadTooLarge, UnsupportedMedia."""
    files = [request.inputs] if isinstance(request.inputs, bytes) else request.inputs
    if request.parameters.annotate and not isinstance(request.inputs, bytes):
        raise BadRequest("`annotate` draws on one picture; send it alone, not in a list")
    return list(open_pictures(files, model.manifest.limits))


def decode(model: Model, request: Request, pictures: list[Image], outputs: list[Detections]) -> Response:
    labels = model.manifest.labels
    found = [
        [
            Found(labels[kind], float(score), Box(*(round(float(edge)) for edge in edges)))
            for edges, score, kind in zip(row.boxes, row.scores, row.classes, strict=True)
        ]
        for row in outputs
    ]
    if not request.parameters.annotate:
        return [*found[0]] if isinstance(request.inputs, bytes) else [*found]
    captions = [f"{one.label} {one.score:.2f}" for one in found[0]]
    draw_boxes(pictures[0], outputs[0].boxes.tolist(), captions, outputs[0].classes.tolist())
    return Drawn(found[0], to_jpeg(pictures[0]))


def answer(model: Model, request: Request) -> Response:
    head, wanted = model.manifest.head, request.parameters
    assert isinstance(head, Detector)  # noqa: S101 -- what the manifest's schema promises of the task
    threshold = head.threshold if wanted.threshold is None else wanted.threshold
    iou = head.iou if wanted.iou is None else wanted.iou
    with step("encode"):
        pictures = encode(model, request)
    with step("run"):
        outputs = detect(model, pictures, threshold, iou)
    with step("decode"):
        return decode(model, request, pictures, outputs)


def predict(name: str, request: Request) -> Response:
    with warm().get(name) as model:
        return answer(model, request)


# The example is a red pixel as PNG.
TASKS = (
    Task(
        "object-detection",
        Request,
        Response,
        predict,
        {"inputs": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"},
        binary=True,
    ),
)
handler = create_handler(TASKS)
