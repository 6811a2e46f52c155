"""object-detection: COCO's average precision, computed by pycocotools, on images with boxes."""

from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from hearth.ops.vision.boxes import box_iou
from hearth_build.data.datasets import DataError
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.object_detection import app

DATA_FORMAT = (
    "a COCO .json file with its images beside it or in `images/`, a Pascal VOC folder (`Annotations/*.xml` and "
    "`JPEGImages/`, or each .xml beside its image), or one of VOC's lists, `ImageSets/Main/*.txt`"
)
MIN_SCORE = 0.001
"""Detections with lower scores are not counted."""
MATCH_OVERLAP = 0.5
"""IoU from which on two boxes in different outputs are the same object."""
Output = dict[str, Any]


def read(path: Path) -> list[Example]:
    """Read images; `expected` is a list of {"label", "box": [x1, y1, x2, y2], "crowd"}."""
    try:
        if path.suffix == ".json":
            return read_coco(path)
        if path.is_dir() and (json_files := sorted(path.glob("*.json"))):
            return read_coco(json_files[0])
        return read_voc(path)
    except (KeyError, ValueError, TypeError, OSError, ElementTree.ParseError) as error:
        raise DataError(f"{path} cannot be read ({error}); it must be {DATA_FORMAT}.") from None


def read_coco(path: Path) -> list[Example]:
    document = json.loads(path.read_bytes())
    names = {category["id"]: category["name"] for category in document["categories"]}
    boxes: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in document["images"]}
    for annotation in document["annotations"]:
        x, y, width, height = annotation["bbox"]
        box = {"label": names[annotation["category_id"]], "box": [x, y, x + width, y + height]}
        boxes[annotation["image_id"]].append({**box, "crowd": bool(annotation.get("iscrowd"))})
    folder = path.parent / "images" if (path.parent / "images").is_dir() else path.parent
    return [Example((folder / image["file_name"]).read_bytes(), boxes[image["id"]]) for image in document["images"]]


def read_voc(path: Path) -> list[Example]:
    if path.suffix == ".txt":
        root = path.parents[2]
        files = [root / "Annotations" / f"{line.split()[0]}.xml" for line in path.read_text().splitlines() if line]
    else:
        files = sorted(path.glob("Annotations/*.xml")) or sorted(path.glob("*.xml"))
    return [voc_example(file) for file in files]


def voc_example(file: Path) -> Example:
    root = ElementTree.fromstring(file.read_bytes())  # noqa: S314 -- a user's own file
    folder = file.parent.parent / "JPEGImages" if file.parent.name == "Annotations" else file.parent
    images = sorted(path for path in folder.glob(f"{file.stem}.*") if path.suffix != ".xml")
    if not images:
        raise ValueError(f"no image {file.stem} in {folder}")
    return Example(images[0].read_bytes(), voc_boxes(root))


def voc_boxes(root: ElementTree.Element) -> list[dict[str, Any]]:
    """The boxes of a VOC annotation, without those that have no area."""
    boxes = []
    for node in root.iter("object"):
        box = [float(node.findtext(f"bndbox/{edge}", "")) for edge in ("xmin", "ymin", "xmax", "ymax")]
        if box[2] > box[0] and box[3] > box[1]:
            boxes.append({"label": node.findtext("name"), "box": box, "crowd": node.findtext("difficult") == "1"})
    return boxes


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    labels = model.manifest.labels
    unknown = {box["label"] for example in examples for box in example.expected} - set(labels)
    if unknown:
        raise DataError(
            f"{', '.join(sorted(map(str, unknown)))} are not labels of {model.manifest.model}, whose labels are "
            f"{', '.join(labels)}."
        )
    predicted = [detect(model, example.inputs, MIN_SCORE)["boxes"] for example in examples]
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


EVALUATION = Evaluation("AP50", True, DATA_FORMAT, read, measure, predict, difference, summarize)
