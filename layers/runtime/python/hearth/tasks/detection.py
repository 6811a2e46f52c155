"""Runs a detector on pictures, for object detection and object tracking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hearth.errors import ManifestError
from hearth.models.heads import Detector
from hearth.models.model import Model
from hearth.models.preprocessing import ImagePreprocessing
from hearth.ops.vision.boxes import Floats, Integers, corners, decode_grid, non_maximum_suppression, restore
from hearth.ops.vision.images import place, to_tensor

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH = 8
"""Number of pictures per run of the graph, which bounds the memory that a long list takes."""
MAX_BOXES = 300
"""Largest number of boxes of a picture."""
DetectionModel = Model[ImagePreprocessing, Detector]


class Detections(NamedTuple):
    """The boxes of one picture, best first."""

    boxes: Floats
    """(n, 4): x1, y1, x2, y2 in pixels of the original picture."""
    scores: Floats
    """(n,), 0 to 1."""
    classes: Integers
    """(n,): indices of the manifest's labels."""


def detect(model: DetectionModel, pictures: Sequence[Image], threshold: float, iou: float) -> list[Detections]:
    """Detect objects in RGB pictures. Boxes have a score of at least `threshold`; of two boxes of a class that overlap
    by more than `iou`, the one with the lower score is dropped. Raises ManifestError if the graph's outputs do not
    match the manifest."""
    graph_input = model.manifest.graphs["main"].inputs[0]
    fixed_batch = graph_input.shape[0] if isinstance(graph_input.shape[0], int) else None
    # Pictures that keep their aspect ratio have sizes of their own.
    size = fixed_batch or (1 if model.preprocessing.resize == "keep-aspect" else BATCH)
    detections: list[Detections] = []
    for start in range(0, len(pictures), size):
        batch = pictures[start : start + size]
        # A fixed batch is filled up with black pictures, whose boxes are ignored.
        pixels = to_tensor(batch, model.preprocessing, fixed_batch or len(batch))
        rows = decode_outputs(model, model.run({graph_input.name: pixels})[0], pixels.shape[3], pixels.shape[2])
        for picture, row in zip(batch, rows, strict=False):
            placement = place(picture.size, model.preprocessing)
            kept = select(model.head, row, len(model.manifest.labels), threshold, iou)
            boxes = restore(kept.boxes, placement.scale, placement.offset, picture.size)
            detections.append(kept._replace(boxes=boxes))
    return detections


def decode_outputs(model: DetectionModel, outputs: Floats, width: int, height: int) -> Floats:
    """The graph's outputs, (batch, n, columns), with the first four columns as corners in pixels of the canvas."""
    head, labels = model.head, len(model.manifest.labels)
    allowed = (6,) if head.form == "selected" else (4 + labels, 5 + labels)
    if outputs.ndim != 3 or outputs.shape[-1] not in allowed:
        columns = f"{allowed[0]} columns" + (f", or {allowed[1]} with objectness" if len(allowed) > 1 else "")
        raise ManifestError(f"{model.manifest.model} has outputs of shape {outputs.shape}; {columns} are needed")
    if head.form == "grid":
        try:
            return decode_grid(outputs, width, height, head.strides)
        except ValueError as error:
            raise ManifestError(f"{model.manifest.model}: {error}") from None
    decoded = corners(outputs) if head.form == "boxes" else outputs.copy()
    if head.normalised:
        decoded[..., :4] *= np.array((width, height) * 2, np.float32)
    return decoded


def select(head: Detector, row: Floats, labels: int, threshold: float, iou: float) -> Detections:
    """Select boxes by score, and by non-maximum suppression unless `iou` is 1, from the rows of one picture: (n, 6)
    that the graph has selected, (n, 4 + labels), or (n, 5 + labels) with an objectness before the labels' scores."""
    if head.form == "selected":
        boxes, scores, classes = row[:, :4], row[:, 4], row[:, 5].astype(np.int64)
    else:
        boxes, scores, classes = _scored(head, row, labels, threshold)
    valid = (scores >= threshold) & (classes >= 0) & (classes < labels)  # false for NaN
    valid &= np.isfinite(boxes).all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1)  # finite, and with an area
    boxes, scores, classes = boxes[valid], scores[valid], classes[valid]
    if head.multi_label:  # as many as the graph has boxes, as transformers' processors do
        kept = np.argsort(-scores, kind="stable")[: min(len(row), MAX_BOXES)]
    elif iou < 1:
        kept = non_maximum_suppression(boxes, scores, classes, iou, MAX_BOXES)
    else:
        kept = np.argsort(-scores, kind="stable")[:MAX_BOXES]
    return Detections(boxes[kept], scores[kept], classes[kept])


def _scored(head: Detector, row: Floats, labels: int, threshold: float) -> tuple[Floats, Floats, Integers]:
    """Boxes, scores and classes: each box with its best label, or with all whose scores reach the threshold."""
    scores = row[:, -labels:]
    if row.shape[1] == 5 + labels:
        scores = scores * row[:, 4:5]
    if head.multi_label:
        rows, classes = np.nonzero(scores >= threshold)
        return row[rows, :4], scores[rows, classes], classes
    classes = scores.argmax(1)
    return row[:, :4], scores[np.arange(len(scores)), classes], classes
