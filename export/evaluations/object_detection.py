"""object-detection: COCO's average precision, computed by pycocotools, on images with boxes."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from hearth.ops.vision.boxes import box_iou
from hearth_build.data.boxes import DATA_FORMAT, Box, read
from hearth_build.data.datasets import DataError
from hearth_build.data.files import content
from hearth_build.pipeline.evaluation import Evaluation, measure_by
from hearth_build.recipe import Example
from hearth_functions.object_detection import app

MIN_SCORE = 0.001
"""Detections with lower scores are not counted."""
MATCH_OVERLAP = 0.5
"""IoU from which on two boxes in different outputs are the same object."""
Output = dict[str, Any]


def outputs(model: Any, examples: Sequence[Example]) -> list[list[Box]]:
    """The boxes of each image, with low scores too."""
    return [detect(model, content(example.inputs), MIN_SCORE)["boxes"] for example in examples]


def score(model: Any, examples: Sequence[Example], predicted: Sequence[Sequence[Box]]) -> dict[str, float]:
    labels = model.manifest.labels
    unknown = {box["label"] for example in examples for box in example.expected} - set(labels)
    if unknown:
        raise DataError(
            f"{', '.join(sorted(map(str, unknown)))} are not labels of {model.manifest.model}, whose labels are "
            f"{', '.join(labels)}."
        )
    return average_precision(labels, [example.expected for example in examples], predicted)


def average_precision(
    labels: Sequence[str], expected: Sequence[Sequence[dict[str, Any]]], predicted: Sequence[Sequence[dict[str, Any]]]
) -> dict[str, float]:
    """AP at an IoU of 0.5, AP over IoUs of 0.5 to 0.95, and AP50 for each label if there are at most ten."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": number} for number in range(len(expected))],
        "categories": [{"id": number, "name": label} for number, label in enumerate(labels)],
        "annotations": [
            coco_annotation(labels, image, box, iscrowd=int(box["crowd"])) for image, box in numbered_boxes(expected)
        ],
    }
    for number, annotation in enumerate(truth.dataset["annotations"]):
        annotation["id"] = number + 1  # to pycocotools, an id of 0 means no match
    results = [coco_annotation(labels, image, box, score=box["score"]) for image, box in numbered_boxes(predicted)]
    if not results:
        return {"AP50": 0.0, "AP": 0.0}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    table = evaluation.eval["precision"][:, :, :, 0, -1]  # (overlaps, recalls, labels), all sizes, 100 boxes
    metrics = {"AP50": mean(table[0]), "AP": mean(table)}
    if len(labels) <= 10:
        metrics |= {f"AP50 {label}": mean(table[0, :, number]) for number, label in enumerate(labels)}
    return metrics


def numbered_boxes(images: Sequence[Sequence[dict[str, Any]]]) -> list[tuple[int, dict[str, Any]]]:
    """Every box with the number of its image."""
    return [(number, box) for number, boxes in enumerate(images) for box in boxes]


def coco_annotation(labels: Sequence[str], image: int, box: dict[str, Any], **fields: Any) -> dict[str, Any]:
    left, top, right, bottom = box["box"]
    return {
        "image_id": image,
        "category_id": labels.index(box["label"]),
        "bbox": [left, top, right - left, bottom - top],
        "area": (right - left) * (bottom - top),
        **fields,
    }


def mean(values: np.ndarray) -> float:
    """The mean without the values of -1, which labels without a box in the images have."""
    known = values[values > -1]
    return float(known.mean()) if known.size else 0.0


def detect(model: Any, file: bytes, threshold: float) -> Output:
    detections = app.predict(model, app.Request(file, app.Parameters(threshold=threshold))).output
    assert isinstance(detections, list)
    boxes = []
    for detection in detections:
        assert isinstance(detection, app.Detection)
        edges = [detection.box.xmin, detection.box.ymin, detection.box.xmax, detection.box.ymax]
        boxes.append({"label": detection.label, "score": detection.score, "box": edges})
    return {"threshold": threshold, "boxes": boxes}


def predict(model: Any, inputs: bytes) -> Output:
    return detect(model, inputs, model.manifest.head.threshold)


def difference(first: Output, second: Output) -> float:
    """The largest difference in score, or lack of overlap, of two matching boxes.

    A box without a match counts as much as its score exceeds the threshold: the same box may be just below the
    threshold in the other output.
    """
    largest = 0.0
    unmatched = list(second["boxes"])
    for box in first["boxes"]:
        candidates = [candidate for candidate in unmatched if candidate["label"] == box["label"]]
        ious = overlaps(box, candidates)
        if not len(ious) or ious.max() < MATCH_OVERLAP:
            largest = max(largest, box["score"] - first["threshold"])
            continue
        match = candidates[int(ious.argmax())]
        unmatched.remove(match)
        largest = max(largest, abs(box["score"] - match["score"]), 1 - float(ious.max()))
    return max([largest, *(box["score"] - second["threshold"] for box in unmatched)])


def overlaps(box: dict[str, Any], others: Sequence[dict[str, Any]]) -> np.ndarray:
    """The IoU of a box with each other one; 1 if they differ by rounding to whole pixels only."""
    if not others:
        return np.zeros(0)
    first, second = corners([box]), corners(others)
    return np.where(np.abs(first - second).max(1) <= 1, 1.0, box_iou(first, second)[0])


def corners(boxes: Sequence[dict[str, Any]]) -> np.ndarray:
    return np.asarray([box["box"] for box in boxes], np.float32)


def summarize(output: Output) -> str:
    counts = Counter(box["label"] for box in output["boxes"])
    return ", ".join(f"{count} {label}" for label, count in sorted(counts.items())) or "nothing"


EVALUATION = Evaluation(
    metric="AP50",
    higher_is_better=True,
    data_format=DATA_FORMAT,
    read=read,
    measure=measure_by(outputs, score),
    predict=predict,
    difference=difference,
    summarize=summarize,
    outputs=outputs,
    score=score,
)
