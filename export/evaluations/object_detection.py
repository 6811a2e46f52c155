"""object-detection: COCO's average precision, by pycocotools, on pictures with boxes."""

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

FORM = (
    "a COCO .json file with its pictures beside it or in `images/`, a folder of Pascal VOC (`Annotations/*.xml` and "
    "`JPEGImages/`, or each .xml beside its picture), or one of VOC's lists, `ImageSets/Main/*.txt`"
)
LEAST_SCORE = 0.001
"""Precision is measured down to here."""
SAME = 0.5
"""Overlap from which on two answers speak of the same thing."""
Answer = dict[str, Any]


def read(path: Path) -> list[Example]:
    """`expected` is a list of {"label", "box": [x1, y1, x2, y2], "crowd"}."""
    try:
        if path.suffix == ".json":
            return read_coco(path)
        if path.is_dir() and (found := sorted(path.glob("*.json"))):
            return read_coco(found[0])
        return read_voc(path)
    except (KeyError, ValueError, TypeError, OSError, ElementTree.ParseError) as error:
        raise DataError(f"{path} cannot be read ({error}); it must be {FORM}.") from None


def read_coco(path: Path) -> list[Example]:
    document = json.loads(path.read_bytes())
    names = {category["id"]: category["name"] for category in document["categories"]}
    wanted: dict[int, list[dict[str, Any]]] = {picture["id"]: [] for picture in document["images"]}
    for entry in document["annotations"]:
        x, y, width, height = entry["bbox"]
        box = {"label": names[entry["category_id"]], "box": [x, y, x + width, y + height]}
        wanted[entry["image_id"]].append({**box, "crowd": bool(entry.get("iscrowd"))})
    folder = path.parent / "images" if (path.parent / "images").is_dir() else path.parent
    return [
        Example((folder / picture["file_name"]).read_bytes(), wanted[picture["id"]]) for picture in document["images"]
    ]


def read_voc(path: Path) -> list[Example]:
    if path.suffix == ".txt":
        root = path.parents[2]
        files = [root / "Annotations" / f"{line.split()[0]}.xml" for line in path.read_text().splitlines() if line]
    else:
        files = sorted(path.glob("Annotations/*.xml")) or sorted(path.glob("*.xml"))
    return [voc_example(file) for file in files]


def voc_example(file: Path) -> Example:
    root = ElementTree.fromstring(file.read_bytes())  # noqa: S314 -- a user's own file
    pictures = file.parent.parent / "JPEGImages" if file.parent.name == "Annotations" else file.parent
    beside = sorted(found for found in pictures.glob(f"{file.stem}.*") if found.suffix != ".xml")
    if not beside:
        raise ValueError(f"no picture {file.stem} in {pictures}")
    return Example(beside[0].read_bytes(), voc_boxes(root))


def voc_boxes(root: ElementTree.Element) -> list[dict[str, Any]]:
    """Those that have an area."""
    found = []
    for node in root.iter("object"):
        box = [float(node.findtext(f"bndbox/{edge}", "")) for edge in ("xmin", "ymin", "xmax", "ymax")]
        if box[2] > box[0] and box[3] > box[1]:
            found.append({"label": node.findtext("name"), "box": box, "crowd": node.findtext("difficult") == "1"})
    return found


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    labels = model.manifest.labels
    unknown = {box["label"] for example in examples for box in example.expected} - set(labels)
    if unknown:
        raise DataError(f"{sorted(map(str, unknown))} are no labels of {model.manifest.model}: {', '.join(labels)}.")
    found = [boxes_of(model, example.inputs, LEAST_SCORE)["boxes"] for example in examples]
    return precision(labels, [example.expected for example in examples], found)


def precision(
    labels: Sequence[str], wanted: Sequence[Sequence[dict[str, Any]]], found: Sequence[Sequence[dict[str, Any]]]
) -> dict[str, float]:
    """AP at an overlap of 0.5, AP over 0.5 to 0.95, and AP50 of each label where they are ten at most."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": number} for number in range(len(wanted))],
        "categories": [{"id": number, "name": label} for number, label in enumerate(labels)],
        "annotations": [entry(labels, number, box, crowd=box["crowd"]) for number, box in numbered(wanted)],
    }
    for number, annotation in enumerate(truth.dataset["annotations"]):
        annotation["id"] = number + 1  # pycocotools takes an id of 0 for no match
    answers = [entry(labels, number, box, score=box["score"]) for number, box in numbered(found)]
    if not answers:
        return {"AP50": 0.0, "AP": 0.0}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(answers), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    table = evaluation.eval["precision"][:, :, :, 0, -1]  # (overlaps, recalls, labels), all sizes, 100 boxes
    result = {"AP50": mean(table[0]), "AP": mean(table)}
    if len(labels) <= 10:
        result |= {f"AP50 {label}": mean(table[0, :, number]) for number, label in enumerate(labels)}
    return result


def numbered(rows: Sequence[Sequence[dict[str, Any]]]) -> list[tuple[int, dict[str, Any]]]:
    return [(number, box) for number, row in enumerate(rows) for box in row]


def entry(labels: Sequence[str], picture: int, box: dict[str, Any], **more: Any) -> dict[str, Any]:
    left, top, right, bottom = box["box"]
    crowd = {"iscrowd": int(more.pop("crowd"))} if "crowd" in more else {}
    return {
        "image_id": picture,
        "category_id": labels.index(box["label"]),
        "bbox": [left, top, right - left, bottom - top],
        "area": (right - left) * (bottom - top),
        **crowd,
        **more,
    }


def mean(values: np.ndarray) -> float:
    """Labels without a box in the pictures count -1 and are left out."""
    known = values[values > -1]
    return float(known.mean()) if known.size else 0.0


def boxes_of(model: Any, file: bytes, threshold: float) -> Answer:
    found = app.predict(model, app.Request(file, app.Parameters(threshold=threshold))).output
    assert isinstance(found, list)
    boxes = []
    for one in found:
        assert isinstance(one, app.Detection)
        edges = [one.box.xmin, one.box.ymin, one.box.xmax, one.box.ymax]
        boxes.append({"label": one.label, "score": one.score, "box": edges})
    return {"threshold": threshold, "boxes": boxes}


def answer(model: Any, inputs: bytes) -> Answer:
    return boxes_of(model, inputs, model.manifest.head.threshold)


def difference(one: Answer, other: Answer) -> float:
    """The largest of any pair's difference in score or lack of overlap, or of a lone box's height over the threshold:
    what lies just above it here may lie just below it there."""
    worst = 0.0
    left = list(other["boxes"])
    for box in one["boxes"]:
        rivals = [rival for rival in left if rival["label"] == box["label"]]
        shared = box_iou(corners([box]), corners(rivals))[0] if rivals else np.zeros(0)
        if not len(shared) or shared.max() < SAME:
            worst = max(worst, box["score"] - one["threshold"])
            continue
        match = rivals[int(shared.argmax())]
        left.remove(match)
        worst = max(worst, abs(box["score"] - match["score"]), 1 - float(shared.max()))
    return max([worst, *(box["score"] - other["threshold"] for box in left)])


def corners(boxes: Sequence[dict[str, Any]]) -> np.ndarray:
    return np.asarray([box["box"] for box in boxes], np.float32)


def brief(found: Answer) -> str:
    counts = Counter(box["label"] for box in found["boxes"])
    return ", ".join(f"{count} {label}" for label, count in sorted(counts.items())) or "nothing"


EVALUATION = Evaluation("AP50", True, FORM, read, measure, answer, difference, brief)
