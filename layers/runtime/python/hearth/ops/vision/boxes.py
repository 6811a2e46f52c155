"""Boxes of a detector: YOLO grids, overlaps, suppression, and back onto the picture. (x1, y1, x2, y2), in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float32]]
Integers = np.ndarray[Any, np.dtype[np.int64]]


Pair = tuple[float, float]


def restore(boxes: Floats, scale: Pair, offset: Pair, picture: tuple[int, int]) -> Floats:
    """Boxes on a canvas, (n, 4), as boxes on the picture, clipped to it; canvas = picture * scale + offset."""
    moved = (boxes - np.asarray(offset * 2, np.float32)) / np.asarray(scale * 2, np.float32)
    return np.clip(moved, 0, np.asarray(picture * 2, np.float32)).astype(np.float32)


def grid(width: int, height: int, strides: Sequence[int]) -> tuple[Floats, Floats]:
    """The cells of all levels, row by row, finest level first: their (column, row), (n, 2), and strides, (n, 1)."""
    cells, steps = [], []
    for stride in strides:
        rows, columns = np.mgrid[0 : height // stride, 0 : width // stride]
        cells.append(np.stack([columns.ravel(), rows.ravel()], 1))
        steps.append(np.full((rows.size, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(steps).astype(np.float32)


def decode_grid(outputs: Floats, width: int, height: int, strides: Sequence[int]) -> Floats:
    """The anchor-free head of YOLOX (Ge et al. 2021): (..., n, 4 or more) with its first four columns made boxes.

    A cell's centre is (offset + cell) * stride and its size exp(size) * stride. Raises ValueError where the number
    of cells does not fit the canvas.
    """
    cells, steps = grid(width, height, strides)
    if outputs.shape[-2] != len(cells):
        raise ValueError(f"the detector has {outputs.shape[-2]} cells; {len(cells)} fit {width} x {height}")
    centres = (outputs[..., :2] + cells) * steps
    # exp of a wild output would overflow; e^10 cells are wider than any canvas.
    halves = np.exp(np.minimum(outputs[..., 2:4], 10)) * steps / 2
    return np.concatenate([centres - halves, centres + halves, outputs[..., 4:]], -1).astype(np.float32)


def corners(outputs: Floats) -> Floats:
    """(..., 4 or more) whose first columns are centre and size, with corners in their place."""
    halves = outputs[..., 2:4] / 2
    return np.concatenate([outputs[..., :2] - halves, outputs[..., :2] + halves, outputs[..., 4:]], -1)


def overlaps(first: Floats, second: Floats) -> Floats:
    """Intersection over union of each box of (n, 4) with each of (m, 4): (n, m); 0 where both are empty."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    union = area(first)[:, None] + area(second)[None] - shared
    found: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return found


def area(boxes: Floats) -> Floats:
    result: Floats = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(-1)
    return result


def suppress(boxes: Floats, scores: Floats, classes: Integers, iou: float, most: int) -> Integers:
    """Greedy non-maximum suppression within each class: indices of the at most `most` boxes kept, best first.

    Of equal scores the earlier box wins. One row of overlaps at a time: memory stays linear in the boxes.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(order) and len(kept) < most:
        best, order = int(order[0]), order[1:]
        kept.append(best)
        rivals = (classes[order] == classes[best]) & (overlaps(boxes[best : best + 1], boxes[order])[0] > iou)
        order = order[~rivals]
    return np.asarray(kept, np.int64)
