"""object-detection: a toy detector against a reference in plain Python, and all kinds of pictures."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from starlette.testclient import TestClient

from hearth.errors import BadRequest, ManifestError
from hearth.http.asgi import create_app
from hearth.models.heads import Detector
from hearth.models.manifest import Graph, Limits, Tensor
from hearth.models.preprocessing import ImagePreprocessing
from hearth_functions.object_detection import app
from tests.support.artifacts import describe_artifact, publish
from tests.support.asking import predict as ask_task

MODEL = "colours"
LABELS = ("red", "green", "blue")
SIDE, STRIDE = 64, 32
RED = (255, 0, 0)
# For each of the four cells: offset, log of size, objectness. The first two overlap; the last is unlikely.
CELLS = (
    (0.5, 0.5, -0.5, -0.5, 0.9),
    (-0.4, 0.6, -0.5, -0.6, 0.8),
    (0.4, 0.2, 0.3, -1.0, 0.6),
    (0.5, 0.5, -0.5, -0.5, 0.1),
)


def make_colours(folder: Path, labels: tuple[str, ...] = LABELS) -> Path:
    """Publish a detector with fixed boxes: the mean of each channel is the score of its colour."""
    artifact = folder / MODEL / "1"
    artifact.mkdir(parents=True)
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["means", "one"], ["row"]),
        helper.make_node("Tile", ["row", "repeats"], ["scores"]),
        helper.make_node("Slice", ["scores", "zero", "first", "last"], ["column"]),
        helper.make_node("Mul", ["column", "nothing"], ["zeros"]),
        helper.make_node("Add", ["zeros", "cells"], ["positions"]),
        helper.make_node("Concat", ["positions", "scores"], ["detections"], axis=2),
    ]
    weights = {
        "one": np.array([1], np.int64),
        "repeats": np.array([1, 4, 1], np.int64),
        "zero": np.array([0], np.int64),
        "first": np.array([1], np.int64),
        "last": np.array([2], np.int64),
        "nothing": np.zeros(5, np.float32),
        "cells": np.array([CELLS], np.float32),
    }
    shapes = {"pixels": ("batch", 3, SIDE, SIDE), "detections": ("batch", 4, 8)}
    pixels, detections = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()
    )
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    network = helper.make_graph(nodes, "main", [pixels], [detections], constants)
    proto = helper.make_model(network, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(proto, artifact / "model.onnx")
    manifest = describe_artifact(
        artifact,
        model=MODEL,
        version="1",
        task="object-detection",
        graph=Graph(
            path="model.onnx",
            inputs=(Tensor("pixels", "float32", shapes["pixels"]),),
            outputs=(Tensor("detections", "float32", shapes["detections"]),),
        ),
        preprocessing=ImagePreprocessing(SIDE, SIDE, "letterbox", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), fill=255),
        head=Detector(form="grid", strides=(STRIDE,), threshold=0.3, iou=0.4),
        labels=labels,
        limits=Limits(batch=12, pixels=200_000),
    )
    return publish(artifact, manifest)


def plain_iou(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (both - width * height)


def reference(width: int, height: int, threshold: float, iou: float, score: float = 1.0) -> list[dict[str, Any]]:
    """Return the boxes of a picture of one colour, cell by cell."""
    scale = min(SIDE / width, SIDE / height)
    candidates = []
    for number, (x, y, w, h, objectness) in enumerate(CELLS):
        column, row = number % 2, number // 2
        centre = ((x + column) * STRIDE, (y + row) * STRIDE)
        half = (math.exp(w) * STRIDE / 2, math.exp(h) * STRIDE / 2)
        edges = [centre[0] - half[0], centre[1] - half[1], centre[0] + half[0], centre[1] + half[1]]
        candidates.append((objectness * score, edges))
    kept: list[tuple[float, list[float]]] = []
    for candidate in sorted(candidates, key=lambda candidate: -candidate[0]):
        if candidate[0] >= threshold and all(plain_iou(candidate[1], other) <= iou for _, other in kept):
            kept.append(candidate)
    boxes = []
    for confidence, edges in kept:
        limits = (width, height, width, height)
        xmin, ymin, xmax, ymax = (
            round(min(max(edge / scale, 0), limit)) for edge, limit in zip(edges, limits, strict=True)
        )
        boxes.append({"score": confidence, "box": {"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax}})
    return boxes


def save_image(picture: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


def red_picture(width: int = 128, height: int = 128) -> Image.Image:
    return Image.new("RGB", (width, height), RED)


@pytest.fixture
def ask(serving: Path) -> Iterator[Any]:
    make_colours(serving)
    with TestClient(create_app(app.TASKS), raise_server_exceptions=False) as client:
        yield lambda inputs, **parameters: client.post(
            f"/models/{MODEL}",
            json={
                "inputs": base64.b64encode(inputs).decode()
                if isinstance(inputs, bytes)
                else [base64.b64encode(file).decode() for file in inputs],
                "parameters": parameters,
            },
        )


@pytest.fixture
def client(serving: Path) -> Iterator[TestClient]:
    make_colours(serving)
    with TestClient(create_app(app.TASKS), raise_server_exceptions=False) as client:
        yield client


def agree(
    actual: list[dict[str, Any]], expected: list[dict[str, Any]], label: str = "red", tolerance: float = 0.01
) -> None:
    assert [box["label"] for box in actual] == [label] * len(expected)
    assert [box["box"] for box in actual] == [box["box"] for box in expected]
    assert [box["score"] for box in actual] == pytest.approx([box["score"] for box in expected], abs=tolerance)


@pytest.mark.parametrize("size", [(128, 128), (100, 100), (317, 317), (7, 7)])
@pytest.mark.parametrize(("threshold", "iou"), [(0.3, 0.4), (0.0, 1.0), (0.7, 1.0), (0.05, 0.1), (0.95, 0.5)])
def test_boxes_equal_those_of_the_reference(ask: Any, size: tuple[int, int], threshold: float, iou: float) -> None:
    response = ask(save_image(red_picture(*size)), threshold=threshold, iou=iou)
    assert response.status_code == 200
    agree(response.json(), reference(*size, threshold, iou))


@pytest.mark.parametrize("size", [(128, 96), (96, 128), (300, 20)])
def test_boxes_of_other_aspect_ratios_end_at_the_picture(ask: Any, size: tuple[int, int]) -> None:
    # The letterbox is filled with white, which has as much red as the picture.
    expected = [
        item for item in reference(*size, 0.3, 0.4) if item["box"]["ymin"] < size[1] and item["box"]["xmin"] < size[0]
    ]
    actual = [
        item
        for item in ask(save_image(red_picture(*size))).json()
        if item["box"]["ymin"] < size[1] and item["box"]["xmin"] < size[0]
    ]
    agree(actual, expected)


def grey16(value: int) -> bytes:
    return save_image(Image.fromarray(np.full((128, 128), value, np.uint16)))


PICTURES = {
    "jpeg": save_image(red_picture(), "JPEG", quality=95),
    "webp": save_image(red_picture(), "WEBP", lossless=True),
    "bmp": save_image(red_picture(), "BMP"),
    "palette": save_image(red_picture().convert("P")),
    "palette with transparency": save_image(red_picture().convert("P"), transparency=255),
    "gif": save_image(red_picture(), "GIF"),
    "alpha": save_image(red_picture().convert("RGBA")),
    "cmyk": save_image(red_picture().convert("CMYK"), "JPEG", quality=95),
    "white grey": save_image(Image.new("L", (128, 128), 255)),
    "white bits": save_image(Image.new("1", (128, 128), 1)),
    "grey with alpha": save_image(Image.new("LA", (128, 128), (255, 255))),
    "clear": save_image(Image.new("RGBA", (128, 128), (0, 0, 0, 0))),
    "white of 16 bits": grey16(65535),
    "animated": save_image(
        red_picture(), "GIF", save_all=True, append_images=[Image.new("RGB", (128, 128), (0, 0, 255))]
    ),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_every_kind_of_picture_has_its_boxes(ask: Any, kind: str) -> None:
    """A white picture is as red as a red one, and red is the first of equal scores."""
    response = ask(PICTURES[kind])
    assert response.status_code == 200
    agree(response.json(), reference(128, 128, 0.3, 0.4), tolerance=0.03)


def test_16_bit_grey_keeps_its_shades(ask: Any) -> None:
    agree(ask(grey16(0x8000)).json(), reference(128, 128, 0.3, 0.4, score=0x80 / 255))


def test_a_rotated_picture_has_the_boxes_of_the_upright_one(ask: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    boxes = ask(save_image(red_picture(128, 64), "JPEG", exif=exif)).json()
    agree(boxes, ask(save_image(red_picture(64, 128), "JPEG")).json())
    assert all(box["box"]["xmax"] <= 64 for box in boxes)


def test_a_list_has_the_boxes_of_its_single_pictures(ask: Any) -> None:
    pictures = [save_image(red_picture(10 + 9 * number, 10 + 9 * number)) for number in range(10)]
    assert ask(pictures).json() == [ask(picture).json() for picture in pictures]


def test_annotate_draws_the_boxes(ask: Any) -> None:
    plain, drawn = ask(PICTURES["white grey"]).json(), ask(PICTURES["white grey"], annotate=True).json()
    assert drawn["boxes"] == plain
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(drawn["picture"]))), np.int64)
    assert pixels.shape == (128, 128, 3)
    box = plain[1]["box"]
    middle = (box["xmin"] + box["xmax"]) // 2
    changed = (255 - pixels).sum(2) > 100
    assert changed[box["ymax"] - 2 : box["ymax"] + 3, middle].any()
    assert not changed[-4:, -4:].any()


def test_raw_bytes_have_parameters_in_the_query(client: TestClient) -> None:
    response = client.post(f"/models/{MODEL}?threshold=0.7&iou=1&annotate=true", content=PICTURES["jpeg"])
    assert response.status_code == 200
    agree(response.json()["boxes"], reference(128, 128, 0.7, 1.0))


@pytest.mark.parametrize(
    ("inputs", "parameters", "status"),
    [
        (b"no picture", {}, 415),
        (b"", {}, 415),
        (PICTURES["bmp"][:1000], {}, 400),
        ([], {}, 400),
        ([PICTURES["jpeg"]], {"annotate": True}, 400),
        ([PICTURES["jpeg"]] * 13, {}, 413),
        (save_image(red_picture(1000, 1000)), {}, 413),
        ([save_image(red_picture(400, 400))] * 2, {}, 413),
        (PICTURES["jpeg"], {"threshold": 2}, 400),
        (PICTURES["jpeg"], {"iou": -0.1}, 400),
        (PICTURES["jpeg"], {"top_k": 1}, 400),
    ],
)
def test_an_invalid_request_has_its_status(
    ask: Any, inputs: bytes | list[bytes], parameters: dict[str, Any], status: int
) -> None:
    response = ask(inputs, **parameters)
    assert response.status_code == status
    assert response.json()["error"]


def test_a_list_cannot_be_annotated(serving: Path) -> None:
    make_colours(serving)
    with pytest.raises(BadRequest, match="send it alone"):
        ask_task(app, MODEL, app.Request([PICTURES["jpeg"]], app.Parameters(annotate=True)))


def test_a_graph_with_other_labels_is_a_manifest_error(serving: Path) -> None:
    make_colours(serving, labels=("red",))
    with pytest.raises(ManifestError, match="5 columns"):
        ask_task(app, MODEL, app.Request(PICTURES["jpeg"]))
