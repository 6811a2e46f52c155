"""image-segmentation: the label of every pixel of a picture, as one mask for each label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from msgspec import Struct

from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest
from hearth.models.heads import Segmenter
from hearth.models.model import Model
from hearth.models.preprocessing import ImagePreprocessing
from hearth.ops.vision.drawing import to_jpeg
from hearth.ops.vision.images import open_images, to_tensor
from hearth.ops.vision.masks import classify_pixels, draw_classes, run_lengths, to_png
from hearth.tasks.task import Prediction, Task, Usage
from hearth.telemetry.observation import observe_pictures
from hearth.telemetry.timing import step

if TYPE_CHECKING:
    from PIL.Image import Image

SegmentationModel = Model[ImagePreprocessing, Segmenter]


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    mask_format: Literal["png", "rle"] = "png"
    """A black-and-white PNG, base64 in JSON, or COCO's uncompressed run lengths."""
    annotate: bool = False
    """Whether the response also has the picture with the segments drawn in."""
    subtask: Literal["semantic"] = "semantic"
    """As huggingface_hub's client sends it."""


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: bytes | list[bytes]
    """Encoded pictures; base64 in JSON."""
    parameters: Parameters = Parameters()


class RunLengths(Struct, frozen=True):
    size: tuple[int, int]
    """Height and width."""
    counts: list[int]
    """Numbers of pixels outside and inside in turn, column by column."""


class Segment(Struct, frozen=True):
    label: str
    score: float | None
    """Always null: a semantic segmentation has no scores."""
    share: float
    """Share of the picture that the segment covers, 0 to 1."""
    mask: bytes | RunLengths


class AnnotatedImage(Struct, frozen=True):
    segments: list[Segment]
    picture: bytes
    """JPEG, upright; base64 in JSON."""


Response = list[Segment | list[Segment]] | AnnotatedImage
"""The segments of the picture in the order of the labels; one list per picture for a list of pictures; with `annotate`
also the picture."""


def encode(model: SegmentationModel, request: Request) -> list[Image]:
    """The pictures, upright RGB. Raises BadRequest, PayloadTooLarge, UnsupportedMedia."""
    files = [request.inputs] if isinstance(request.inputs, bytes) else request.inputs
    if request.parameters.annotate and not isinstance(request.inputs, bytes):
        raise BadRequest("`annotate` works with one picture; send it alone, not in a list")
    return [*observe_pictures(open_images(files, model.manifest.limits))]


def decode(model: SegmentationModel, request: Request, classes: list[np.ndarray[Any, Any]]) -> list[list[Segment]]:
    """`classes`: the class of each pixel, (height, width), of each picture."""
    results = []
    for pixels in classes:
        segments = []
        for class_id in np.unique(pixels):
            mask = pixels == class_id
            if request.parameters.mask_format == "png":
                encoded: bytes | RunLengths = to_png(mask)
            else:
                encoded = RunLengths((mask.shape[0], mask.shape[1]), run_lengths(mask))
            segments.append(Segment(model.manifest.labels[class_id], None, float(mask.mean()), encoded))
        results.append(segments)
    return results


def predict(model: SegmentationModel, request: Request) -> Prediction:
    with step("encode"):
        images = encode(model, request)
    with step("run"):
        name = model.input_names["main"][0]
        # One picture at a time: the logits of a batch would be most of the memory.
        logits = [model.run({name: to_tensor([image], model.preprocessing, 1)})[0][0] for image in images]
    with step("decode"):
        classes = [classify_pixels(row, *image.size) for row, image in zip(logits, images, strict=True)]
        results = decode(model, request, classes)
        response: Response = [*results[0]] if isinstance(request.inputs, bytes) else [*results]
        if request.parameters.annotate:
            drawn = draw_classes(images[0], classes[0], np.unique(classes[0]).tolist())
            response = AnnotatedImage(results[0], to_jpeg(drawn))
    return Prediction(response, Usage(len(images)))


# The example is a red pixel as PNG.
TASKS = (
    Task(
        "image-segmentation",
        Request,
        Response,
        predict,
        {"inputs": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"},
    ),
)
handler = create_handler(TASKS)
