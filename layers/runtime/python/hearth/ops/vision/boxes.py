"""Boxes of a detector, (x1, y1, x2, y2) in pixels: YOLO grids, IoU, non-maximum suppression, mapping to the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float32]]
Integers = np.ndarray[Any, np.dtype[np.int64]]


Pair = tuple[float, float]


def restore(boxes: Floats, scale: Pair, offset: Pair, picture: tuple[int, int]) -> Floats:
    """Map boxes (n, 4) from the canvas to the picture and clip them to it; canvas = picture * scale + offset."""
    restored = (boxes - np.asarray(offset * 2, np.float32)) / np.asarray(scale * 2, np.float32)
    return np.clip(restored, 0, np.asarray(picture * 2, np.float32)).astype(np.float32)


def grid(width: int, height: int, strides: Sequence[int]) -> tuple[Floats, Floats]:
    """The cells of all levels, row by row, finest level first: their (column, row) as (n, 2), and strides as (n, 1)."""
    cells, cell_strides = [], []
    for stride in strides:
        rows, columns = np.mgrid[0 : height // stride, 0 : width // stride]
        cells.append(np.stack([columns.ravel(), rows.ravel()], 1))
        cell_strides.append(np.full((rows.size, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(cell_strides).astype(np.float32)


def decode_grid(outputs: Floats, width: int, height: int, strides: Sequence[int]) -> Floats:
    """Decode the anchor-free head of YOLOX (Ge et al. 2021), (..., n, 4 or more): the first four columns become boxes.

    A box's centre is (offset + cell) * stride and its size exp(size) * stride. Raises ValueError if the number of cells
    does not fit the canvas.
    """
    cells, cell_strides = grid(width, height, strides)
    if outputs.shape[-2] != len(cells):
        raise ValueError(f"the detector has {outputs.shape[-2]} cells; {len(cells)} fit {width} x {height}")
    centres = (outputs[..., :2] + cells) * cell_strides
    # exp of an extreme output would overflow; e^10 cells are wider than any canvas.
    halves = np.exp(np.minimum(outputs[..., 2:4], 10)) * cell_strides / 2
    return np.concatenate([centres - halves, centres + halves, outputs[..., 4:]], -1).astype(np.float32)


def corners(outputs: Floats) -> Floats:
    """Replace centre and size, the first four columns of (..., 4 or more), by corners."""
    halves = outputs[..., 2:4] / 2
    return np.concatenate([outputs[..., :2] - halves, outputs[..., :2] + halves, outputs[..., 4:]], -1)


def box_iou(first: Floats, second: Floats) -> Floats:
    """Intersection over union of each box of (n, 4) with each of (m, 4): (n, m); 0 if both are empty."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    union = area(first)[:, None] + area(second)[None] - shared
    iou: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return iou


def area(boxes: Floats) -> Floats:
    result: Floats = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(-1)
    return result


def non_maximum_suppression(
    boxes: Floats, scores: Floats, classes: Integers, iou_threshold: float, max_boxes: int
) -> Integers:
    """Greedy non-maximum suppression within each class: indices of the boxes kept, at most `max_boxes`, best first.

    Of equal scores the earlier box wins. Overlaps are computed one row at a time, so memory stays linear in the boxes.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(order) and len(kept) < max_boxes:
        best, order = int(order[0]), order[1:]
        kept.append(best)
        rivals = (classes[order] == classes[best]) & (box_iou(boxes[best : best + 1], boxes[order])[0] > iou_threshold)
        order = order[~rivals]
    return np.asarray(kept, np.int64)
