"""The same inputs to an imported ONNX file and to ONNX Runtime on the file as it is.

What follows the graph is computed here by hand: layout, softmax, boxes from centres and sizes, their suppression.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from hearth.models.model import Model
from hearth.ops.vision.images import open_image, to_tensor
from hearth_build.onnx_export.example_feeds import to_arrays
from hearth_functions.image_classification import app as image_classification
from hearth_functions.image_segmentation import app as image_segmentation
from hearth_functions.object_detection import app as object_detection
from hearth_functions.tabular import app as tabular
from hearth_functions.tensors import app as tensors
from tests.import_table.pictures import photo

THRESHOLD = 1e-7
"""Random weights give low scores."""
SIDE = 64
"""Of the pictures of hf-rt-detr.onnx, whose boxes are fractions of it."""
Array = np.ndarray[Any, Any]


def run(model: Model[Any, Any], path: Path) -> dict[str, Array]:
    """The file's outputs for the picture as the artifact's preprocessing gives it."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    pixels = to_tensor([open_image(photo(), 10**7)], model.preprocessing, 1)
    feeds: dict[str, Any] = {}
    for value in session.get_inputs():
        if len(value.shape) == 4:
            given = pixels.transpose(0, 2, 3, 1) if value.shape[3] in (1, 3) else pixels
            feeds[value.name] = given.astype({"tensor(float16)": "f2", "tensor(uint8)": "u1"}.get(value.type, "f4"))
        else:  # the size of the picture
            feeds[value.name] = np.array([[model.preprocessing.width, model.preprocessing.height]], np.int64)
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def classification(model: Model[Any, Any], path: Path) -> float:
    """The largest difference of a score."""
    (logits,) = run(model, path).values()
    rows = logits.reshape(-1).astype(np.float64)
    if model.manifest.activation == "softmax":
        rows = np.exp(rows - rows.max()) / np.exp(rows - rows.max()).sum()
    parameters = image_classification.Parameters(top_k=len(rows))
    answer = image_classification.predict(model, image_classification.Request(photo(), parameters)).output
    scores = dict(zip(model.manifest.labels, rows.tolist(), strict=True))
    return max(abs(scores[item.label] - item.score) for item in answer)


def segmentation(model: Model[Any, Any], path: Path) -> float:
    """The share of pixels with another label."""
    (logits,) = run(model, path).values()
    width, height = open_image(photo(), 10**7).size
    resized = torch.nn.functional.interpolate(torch.from_numpy(logits), size=(height, width), mode="bilinear")
    expected = resized.argmax(1)[0].numpy()
    parameters = image_segmentation.Parameters(mask_format="rle")
    wrong = 0
    for segment in image_segmentation.predict(model, image_segmentation.Request(photo(), parameters)).output:
        mask = np.repeat(np.arange(len(segment.mask.counts)) % 2, segment.mask.counts).reshape(width, height).T
        wrong += int(((expected == model.manifest.labels.index(segment.label)) & (mask == 0)).sum())
    return wrong / expected.size


def detection(model: Model[Any, Any], path: Path) -> float:
    """The largest difference of a score or, in pixels, of an edge."""
    outputs = run(model, path)
    boxes, scores, classes = by_hand(outputs, len(model.manifest.labels), path.stem)
    width, height = open_image(photo(), 10**7).size
    canvas = model.preprocessing
    scale = min(canvas.width / width, canvas.height / height)
    used = round(width * scale), round(height * scale)
    offset = ((canvas.width - used[0]) // 2, (canvas.height - used[1]) // 2) if canvas.centred else (0, 0)
    if canvas.resize == "stretch":
        used, offset = (canvas.width, canvas.height), (0, 0)
    factors = np.array([used[0] / width, used[1] / height] * 2)
    boxes = np.clip((boxes - np.array(offset * 2)) / factors, 0, [width, height] * 2)
    # Of the boxes of random weights many overlap by nearly the limit, so all are compared.
    parameters = object_detection.Parameters(threshold=THRESHOLD, iou=1.0)
    answer = object_detection.predict(model, object_detection.Request(photo(), parameters)).output
    if len(answer) != min(len(boxes), 300, len(outputs.get("pred_boxes", [boxes])[0])):
        raise ValueError(f"{len(answer)} boxes, {len(boxes)} by hand")
    difference = 0.0
    for item in answer:  # scores of random weights are often equal, so boxes have no order
        edges = np.array([item.box.xmin, item.box.ymin, item.box.xmax, item.box.ymax])
        distances = np.abs(boxes - edges).max(1) + 1e3 * (classes != model.manifest.labels.index(item.label))
        near = distances <= 0.51  # edges are answered in whole pixels
        if not near.any():
            raise ValueError(f"a box is {distances.min():.2f} pixels from the nearest one by hand")
        difference = max(difference, float(np.abs(scores[near] - item.score).min()))
    return difference


def by_hand(outputs: dict[str, Array], labels: int, name: str) -> tuple[Array, Array, Array]:
    """Corners (n, 4) on the canvas, scores and classes, best first."""
    if "pred_boxes" in outputs:
        rows, logits = outputs["pred_boxes"][0], outputs["logits"][0]
        queries, classes = np.indices(logits.shape).reshape(2, -1)
        sides = np.array([SIDE, SIDE], np.float32)
        boxes = np.hstack([rows[:, :2] - rows[:, 2:] / 2, rows[:, :2] + rows[:, 2:] / 2]) * np.tile(sides, 2)
        boxes, scores = boxes[queries], 1 / (1 + np.exp(-logits.reshape(-1)))
    elif "boxes" in outputs:
        boxes, scores, classes = outputs["boxes"][0], outputs["scores"][0], outputs["labels"][0]
    else:
        rows = next(output for output in outputs.values() if output.ndim == 3)[0].astype(np.float32)
        if rows.shape[-1] == 6 and labels != 2:  # the graph has chosen
            boxes, scores, classes = rows[:, :4], rows[:, 4], rows[:, 5].astype(int)
        else:
            rows = rows.T if rows.shape[0] < rows.shape[1] else rows
            halves = rows[:, 2:4] / 2
            if "obb" in name:
                cos, sin = np.abs(np.cos(rows[:, -1:])), np.abs(np.sin(rows[:, -1:]))
                halves = np.hstack(
                    [halves[:, :1] * cos + halves[:, 1:] * sin, halves[:, :1] * sin + halves[:, 1:] * cos]
                )
            boxes = np.hstack([rows[:, :2] - halves, rows[:, :2] + halves])
            scores, classes = rows[:, 4 : 4 + labels].max(1), rows[:, 4 : 4 + labels].argmax(1)
    valid = (scores >= THRESHOLD) & (boxes[:, 2:] > boxes[:, :2]).all(1)
    order = np.argsort(-scores[valid], kind="stable")
    return boxes[valid][order], scores[valid][order], classes[valid][order]


def any_graph(model: Model[Any, Any], path: Path) -> float:
    """The largest difference of an output for a golden input."""
    cases = json.loads(golden_file(model).read_bytes())["cases"]
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    graph = model.manifest.graphs["main"]
    difference = 0.0
    for case in cases:
        expected = session.run(None, to_arrays(graph.inputs, case["inputs"]))
        answer = tensors.predict(model, tensors.Request(case["inputs"])).output
        for tensor, value in zip(graph.outputs, expected, strict=True):
            numbers = np.array([list(row.values()) for row in value]) if isinstance(value, list) else value
            difference = max(difference, float(np.abs(np.array(answer[tensor.name], float) - numbers).max()))
    return difference


def golden_file(model: Model[Any, Any]) -> Path:
    return Path(model.session()._model_path).parent / "golden.json"


def table(model: Model[Any, Any], path: Path) -> float:
    """The largest difference of a score."""
    cases = json.loads(golden_file(model).read_bytes())["cases"]
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rows = cases[0]["inputs"]
    matrix = np.array([list(row.values()) for row in rows], np.float32)
    maps = session.run(None, {session.get_inputs()[0].name: matrix})[1]
    request = tabular.ClassificationRequest(rows, parameters=tabular.ClassificationParameters(top_k=10))
    answer = tabular.predict(model, request).output
    return max(
        abs(item.score - {str(key): value for key, value in expected.items()}[item.label])
        for row, expected in zip(answer, maps, strict=True)
        for item in row
    )


COMPARISONS = {
    "image-classification": classification,
    "object-detection": detection,
    "image-segmentation": segmentation,
    "tensors": any_graph,
    "tabular-classification": table,
}
