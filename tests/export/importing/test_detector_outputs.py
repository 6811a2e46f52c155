"""Detectors whose boxes are several tensors, rotated, corners or fractions; segmentation; Ultralytics' metadata."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from hearth.models.model import Model
from hearth_build.importing import read
from hearth_build.importing.base import ImportOptions
from hearth_build.pipeline.precision import build_import
from hearth_build.recipe import RecipeError
from hearth_functions.image_segmentation import app as segmentation
from hearth_functions.object_detection import app as detection

LABELS = Path("cat,dog,cow")
FLAGS: dict[str, Any] = {
    "task": "object-detection",
    "labels": LABELS,
    "pixels": "unit",
    "channels": "RGB",
    "resize": "stretch",
}
SIDE = 64


def constant_graph(
    outputs: dict[str, np.ndarray[Any, Any]], path: Path, metadata: dict[str, str] | None = None
) -> Path:
    """A graph that reads a picture of 64 x 64 pixels and gives constants."""
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIDE, SIDE])]
    nodes, weights, results = [], [], []
    nodes.append(helper.make_node("ReduceMin", ["x"], ["least"], keepdims=0))
    nodes.append(helper.make_node("Mul", ["least", "zero"], ["nothing"]))
    weights.append(numpy_helper.from_array(np.array(0, np.float32), "zero"))
    for name, array in outputs.items():
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        weights.append(numpy_helper.from_array(array, f"{name}.value"))
        nodes.append(helper.make_node("Cast", ["nothing"], [f"{name}.nothing"], to=kind))
        nodes.append(helper.make_node("Add", [f"{name}.value", f"{name}.nothing"], [name]))
        results.append(helper.make_tensor_value_info(name, kind, array.shape))
    graph = helper.make_graph(nodes, "graph", values, results, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path)
    return path


def serve(path: Path, options: dict[str, Any]) -> Model[Any, Any]:
    imported = read(str(path), ImportOptions(precision="fp32", **options))
    work = path.parent / "work"
    manifest, _ = build_import(imported.recipe, imported.quantizers, work, "hearth import", "fp32")
    return Model(manifest, work / "artifact", threads=1)


def picture(width: int = SIDE, height: int = SIDE) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), (200, 90, 30)).save(stream, "PNG")
    return stream.getvalue()


def boxes_of(model: Model[Any, Any], width: int = SIDE, height: int = SIDE) -> list[tuple[Any, ...]]:
    answer = detection.predict(model, detection.Request(picture(width, height))).output
    return [
        (item.label, round(item.score, 3), item.box.xmin, item.box.ymin, item.box.xmax, item.box.ymax)  # type: ignore
        for item in answer
    ]


def f32(*rows: Any) -> np.ndarray[Any, Any]:
    return np.array([rows], np.float32)


CORNERS = f32([4, 8, 20, 40], [30, 30, 60, 62])
CASES: dict[str, tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any], list[tuple[Any, ...]]]] = {
    "boxes, scores and labels without a batch": (
        {"boxes": CORNERS[0], "labels": np.array([1, 2]), "scores": np.array([0.9, 0.6], np.float32)},
        {},
        [("dog", 0.9, 4, 8, 20, 40), ("cow", 0.6, 30, 30, 60, 62)],
    ),
    "TensorFlow's": (
        {
            "detection_boxes": f32([0.125, 0.0625, 0.625, 0.3125]),
            "detection_classes": f32(3.0),
            "detection_scores": f32(0.8),
            "num_detections": np.array([1], np.float32),
        },
        {},
        [("cow", 0.8, 4, 8, 20, 40)],
    ),
    "DETR's with no object": (
        {"logits": f32([9, 0, 0, 0], [0, 0, 0, 9]), "pred_boxes": f32([0.5, 0.5, 0.5, 0.25], [0.5, 0.5, 0.5, 0.5])},
        {},
        [("cat", 1.0, 16, 24, 48, 40)],
    ),
    "DETR's with a sigmoid": (
        {
            "logits": f32([9, 8, -9], [-9, -9, -9]),
            "pred_boxes": f32([0.5, 0.5, 0.5, 0.25], [0.5, 0.5, 0.1, 0.1]),
        },
        {},
        [("cat", 1.0, 16, 24, 48, 40), ("dog", 1.0, 16, 24, 48, 40)],
    ),
    "SSD's with a background": (
        {"boxes": CORNERS / SIDE, "scores": f32([0.1, 0.0, 0.9, 0.0], [0.9, 0.1, 0.0, 0.0])},
        {},
        [("dog", 0.9, 4, 8, 20, 40)],
    ),
    "corners in pixels beside scores": (
        {"boxes": CORNERS, "scores": f32([0.1, 0.7, 0.2], [0.1, 0.0, 0.1])},
        {},
        [("dog", 0.7, 4, 8, 20, 40)],
    ),
    "rows of six for two labels": (
        {"rows": f32([4, 8, 20, 40, 0.9, 1], [30, 30, 60, 62, 0.8, 0])},
        {"labels": Path("cat,dog")},
        [("dog", 0.9, 4, 8, 20, 40), ("cat", 0.8, 30, 30, 60, 62)],
    ),
    "YOLO-NAS's flat rows": (
        {"rows": np.array([[0, 4, 8, 20, 40, 0.9, 1]], np.float32)},
        {},
        [("dog", 0.9, 4, 8, 20, 40)],
    ),
    "centres and sizes in fractions": (
        {"rows": f32([0.5, 0.5, 0.5, 0.25, 0, 0.9, 0], [0.9, 0.1, 0.1, 0.1, 0, 0, 0.1], [0.1, 0.1, 0.1, 0.1, 0, 0, 0])},
        {},
        [("dog", 0.9, 16, 24, 48, 40)],
    ),
}


@pytest.mark.parametrize(("outputs", "options", "expected"), CASES.values(), ids=CASES)
def test_boxes_of_every_form_are_served(
    tmp_path: Path,
    outputs: dict[str, np.ndarray[Any, Any]],
    options: dict[str, Any],
    expected: list[tuple[Any, ...]],
) -> None:
    model = serve(constant_graph(outputs, tmp_path / "net.onnx"), FLAGS | options)
    assert boxes_of(model) == expected


ULTRALYTICS = {"author": "Ultralytics", "names": "{0: 'cat', 1: 'dog', 2: 'cow'}", "imgsz": f"[{SIDE}, {SIDE}]"}


def columns_first(*rows: Any) -> np.ndarray[Any, Any]:
    """As many rows as make the columns the shorter side; those that are added have no scores."""
    empty = [[index % SIDE, index % SIDE, 1, 1, *[0] * (len(rows[0]) - 4)] for index in range(100)]
    return f32(*rows, *empty).transpose(0, 2, 1)


YOLO: dict[str, tuple[str, np.ndarray[Any, Any], tuple[int, ...]]] = {
    "detect": ("detect", columns_first([32, 32, 20, 10, 0, 0.9, 0]), (44, 54, 84, 74)),
    "pose": ("pose", columns_first([32, 32, 20, 10, 0, 0.9, 0, *[7] * 51]), (44, 54, 84, 74)),
    "segment": ("segment", columns_first([32, 32, 20, 10, 0, 0.9, 0, *[7] * 32]), (44, 54, 84, 74)),
    "obb": ("obb", columns_first([32, 32, 20, 10, 0, 0.9, 0, np.pi / 2]), (54, 44, 74, 84)),
}


@pytest.mark.parametrize(("task", "output", "box"), YOLO.values(), ids=YOLO)
def test_the_metadata_of_ultralytics_need_no_flags(
    tmp_path: Path, task: str, output: np.ndarray[Any, Any], box: tuple[int, ...]
) -> None:
    path = constant_graph({"output0": output}, tmp_path / "net.onnx", ULTRALYTICS | {"task": task})
    model = serve(path, {})
    preprocessing = model.preprocessing
    assert (preprocessing.resize, preprocessing.centred, preprocessing.scale) == ("letterbox", True, 255.0)
    # A picture of 128 x 128 is half as large on the canvas.
    assert boxes_of(model, 128, 128) == [("dog", 0.9, *box)]


def test_rotated_boxes_that_the_graph_selects_are_refused_with_a_way_on(tmp_path: Path) -> None:
    metadata = ULTRALYTICS | {"task": "obb", "args": "{'nms': True}"}
    path = constant_graph({"output0": f32([1, 2, 3, 4, 0.5, 1, 0.1])}, tmp_path / "net.onnx", metadata)
    with pytest.raises(RecipeError, match="--task tensors"):
        read(str(path), ImportOptions())


def test_scores_that_do_not_fit_the_labels_are_refused(tmp_path: Path) -> None:
    path = constant_graph({"boxes": CORNERS, "scores": f32([0.1] * 7, [0.2] * 7)}, tmp_path / "net.onnx")
    with pytest.raises(RecipeError, match="has 7 scores for a box, but there are 3 labels"):
        read(str(path), ImportOptions(**FLAGS))


HALVES = np.concatenate([np.ones((4, 2)), -np.ones((4, 2))], 1).astype(np.float32)  # left is positive
MASKS: dict[str, tuple[np.ndarray[Any, Any], str]] = {
    "logits": (np.stack([-HALVES, HALVES, HALVES * 0])[None], "cat,dog,cow"),
    "channels last": (np.stack([-HALVES, HALVES, HALVES * 0], -1)[None], "cat,dog,cow"),
    "numbers of labels": (np.where(HALVES > 0, 1, 0)[None].astype(np.int64), "cat,dog,cow"),
    "numbers of labels in a channel": (np.where(HALVES > 0, 1, 0)[None, None].astype(np.int32), "cat,dog,cow"),
    "one map of logits": (HALVES[None, None], "cat,dog"),
    "one map of probabilities": (((HALVES + 1) / 2)[None, None], "cat,dog"),
}


@pytest.mark.parametrize(("output", "labels"), MASKS.values(), ids=MASKS)
def test_masks_of_every_form_are_served(tmp_path: Path, output: np.ndarray[Any, Any], labels: str) -> None:
    options = {"task": "image-segmentation", "labels": Path(labels), "pixels": "unit", "channels": "RGB"}
    model = serve(constant_graph({"mask": output}, tmp_path / "net.onnx"), options)
    request = segmentation.Request(picture(), segmentation.Parameters(mask_format="rle"))
    segments = {item.label: item.mask.counts for item in segmentation.predict(model, request).output}  # type: ignore
    half = SIDE * SIDE // 2
    assert segments["dog"] == [0, half, half]
    assert set(segments) == {"cat", "dog"}
