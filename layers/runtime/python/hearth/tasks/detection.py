"""Runs a detector on pictures, for object detection and object tracking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hearth.errors import ManifestError
from hearth.models.manifest import Detector, ImagePreprocessing
from hearth.models.model import Model
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
    size = fixed_batch or BATCH
    detections: list[Detections] = []
    for start in range(0, len(pictures), size):
        batch = pictures[start : start + size]
        # A fixed batch is filled up with black pictures, whose boxes are ignored.
        pixels = to_tensor(batch, model.preprocessing, fixed_batch or len(batch))
        rows = decode_outputs(model, model.run({graph_input.name: pixels})[0])
        for picture, row in zip(batch, rows, strict=False):
            placement = place(picture.size, model.preprocessing)
            kept = select(row, len(model.manifest.labels), threshold, iou)
            boxes = restore(kept.boxes, placement.scale, placement.offset, picture.size)
            detections.append(kept._replace(boxes=boxes))
    return detections


def decode_outputs(model: DetectionModel, outputs: Floats) -> Floats:
    """The graph's outputs, (batch, n, 4 + scores), with the first four columns as corners on the canvas."""
    preprocessing, head, labels = model.preprocessing, model.head, len(model.manifest.labels)
    if outputs.ndim != 3 or outputs.shape[-1] - labels not in (4, 5):
        columns = f"{4 + labels} columns, or {5 + labels} with objectness"
        raise ManifestError(f"{model.manifest.model} has outputs of shape {outputs.shape}; {columns} are needed")
    if head.form == "boxes":
        return corners(outputs)
    try:
        return decode_grid(outputs, preprocessing.width, preprocessing.height, head.strides)
    except ValueError as error:
        raise ManifestError(f"{model.manifest.model}: {error}") from None


def select(row: Floats, labels: int, threshold: float, iou: float) -> Detections:
    """Select boxes by score and non-maximum suppression from (n, 4 + labels), or (n, 5 + labels) with an objectness
    before the labels' scores.

    Each box has one class, the one with the highest score.
    """
    scores = row[:, -labels:]
    if row.shape[1] == 5 + labels:
        scores = scores * row[:, 4:5]
    best = scores.max(1)
    likely = best >= threshold  # false for NaN
    boxes, scores, best = row[likely, :4], scores[likely], best[likely]
    valid = np.isfinite(boxes).all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1)  # finite, and with an area
    boxes, best, classes = boxes[valid], best[valid], scores[valid].argmax(1)
    kept = non_maximum_suppression(boxes, best, classes, iou, MAX_BOXES)
    return Detections(boxes[kept], best[kept], classes[kept])
