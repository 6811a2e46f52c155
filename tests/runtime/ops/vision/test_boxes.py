"""Box operations against references in plain Python."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from hearth.models.preprocessing import ImagePreprocessing
from hearth.ops.vision.boxes import box_iou, corners, decode_grid, non_maximum_suppression, restore
from hearth.ops.vision.images import place

Box = tuple[float, float, float, float]


def plain_iou(a: Box, b: Box) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union > 0 else 0.0


def plain_suppress(boxes: list[Box], scores: list[float], classes: list[int], iou: float, limit: int) -> list[int]:
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        if all(classes[k] != classes[index] or plain_iou(boxes[k], boxes[index]) <= iou for k in kept):
            kept.append(index)
    return kept[:limit]


def random_boxes(count: int, seed: int) -> list[Box]:
    draw = random.Random(seed)
    corners = [(draw.randrange(80), draw.randrange(60)) for _ in range(count)]
    return [(x, y, x + draw.randrange(0, 40), y + draw.randrange(0, 40)) for x, y in corners]


@pytest.mark.parametrize("seed", range(20))
def test_suppression_equals_the_reference(seed: int) -> None:
    draw = random.Random(seed)
    boxes = random_boxes(60, seed)
    scores = [draw.randrange(1, 20) / 20 for _ in boxes]  # with ties
    classes = [draw.randrange(3) for _ in boxes]
    kept = non_maximum_suppression(
        np.array(boxes, np.float32), np.array(scores, np.float32), np.array(classes), 0.45, 25
    )
    assert kept.tolist() == plain_suppress(boxes, scores, classes, 0.45, 25)


def test_suppression_of_no_boxes_is_empty() -> None:
    empty = np.zeros((0, 4), np.float32)
    assert non_maximum_suppression(empty, np.zeros(0, np.float32), np.zeros(0, np.int64), 0.5, 10).tolist() == []


def test_overlaps_equal_the_reference() -> None:
    first, second = random_boxes(30, 1), random_boxes(20, 2)
    expected = [[plain_iou(a, b) for b in second] for a in first]
    actual = box_iou(np.array(first, np.float32), np.array(second, np.float32))
    assert np.allclose(actual, expected, atol=1e-6)


def test_a_decoded_grid_equals_the_reference() -> None:
    width, height, strides = 64, 32, (8, 16)
    draw = random.Random(3)
    cells = [(c, r, s) for s in strides for r in range(height // s) for c in range(width // s)]
    outputs = [[draw.uniform(-2, 2) for _ in range(6)] for _ in cells]
    expected = []
    for (column, row, stride), (x, y, w, h, *scores) in zip(cells, outputs, strict=True):
        centre, half = ((x + column) * stride, (y + row) * stride), (math.exp(w) * stride / 2, math.exp(h) * stride / 2)
        low = [c - e for c, e in zip(centre, half, strict=True)]
        high = [c + e for c, e in zip(centre, half, strict=True)]
        expected.append([*low, *high, *scores])
    actual = decode_grid(np.array([outputs], np.float32), width, height, strides)
    assert actual.shape == (1, len(cells), 6)
    assert np.allclose(actual[0], expected, atol=1e-3)


def test_a_grid_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="40 fit 64 x 32"):
        decode_grid(np.zeros((1, 7, 6), np.float32), 64, 32, (8, 16))


def test_extreme_sizes_stay_finite() -> None:
    assert np.isfinite(decode_grid(np.full((1, 8, 5), 1e4, np.float32), 32, 16, (8,))).all()


def test_centre_and_size_become_corners() -> None:
    boxes = corners(np.array([[[10, 20, 4, 6, 0.5]]], np.float32))
    assert boxes.tolist() == [[[8, 17, 12, 23, 0.5]]]


def preprocessing(resize: str, canvas: tuple[int, int], centred: bool = False) -> ImagePreprocessing:
    return ImagePreprocessing(*canvas, resize, (0, 0, 0), (1, 1, 1), centred=centred)  # type: ignore[arg-type]


@pytest.mark.parametrize("picture", [(640, 480), (480, 640), (1, 1000), (333, 777), (416, 416)])
@pytest.mark.parametrize("centred", [False, True])
def test_letterbox_placement_is_undone(picture: tuple[int, int], centred: bool) -> None:
    placement = place(picture, preprocessing("letterbox", (416, 320), centred))
    (width, height), (left, top) = placement.size, placement.offset
    assert 1 <= width <= 416 - left
    assert 1 <= height <= 320 - top
    assert width == 416 or height == 320
    whole = np.array([[left, top, left + width, top + height]], np.float32)
    assert np.allclose(restore(whole, placement.scale, placement.offset, picture), [[0, 0, *picture]], atol=0.01)


def test_a_crop_is_undone() -> None:
    placement = place((200, 100), preprocessing("shortest-edge-center-crop", (50, 50)))
    boxes = restore(np.array([[0, 0, 50, 50]], np.float32), placement.scale, placement.offset, (200, 100))
    assert boxes.tolist() == [[50, 0, 150, 100]]


def test_a_crop_after_a_larger_shortest_edge_is_undone() -> None:
    crop = ImagePreprocessing(50, 50, "shortest-edge-center-crop", (0, 0, 0), (1, 1, 1), before_crop=(80,))
    placement = place((200, 100), crop)
    boxes = restore(np.array([[0, 0, 50, 50]], np.float32), placement.scale, placement.offset, (200, 100))
    assert boxes.tolist() == [[68.75, 18.75, 131.25, 81.25]]


def test_boxes_are_clipped_to_the_picture() -> None:
    placement = place((200, 100), preprocessing("stretch", (50, 50)))
    boxes = restore(np.array([[-9, -9, 999, 999]], np.float32), placement.scale, placement.offset, (200, 100))
    assert boxes.tolist() == [[0, 0, 200, 100]]
