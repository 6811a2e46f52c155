"""Segmentation masks: classes of the pixels from coarse logits, run lengths, PNG, drawing."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from hearth import deadline
from hearth.ops.vision.drawing import colour

Array = np.ndarray[Any, Any]


def classify_pixels(logits: Array, width: int, height: int) -> Array:
    """The class (height, width) with the largest of the logits (classes, rows, columns), resized bilinearly.

    Sample points are those of torch's `interpolate` with align_corners=False. Only two rows of all classes are in
    memory at the size of the picture.
    """
    left, right, column_shares = _neighbours(width, logits.shape[2])
    above, below, row_shares = _neighbours(height, logits.shape[1])
    classes = np.empty((height, width), np.int64)
    rows: dict[int, Array] = {}
    for y in range(height):
        if y % 64 == 0:
            deadline.check()
        needed = (int(above[y]), int(below[y]))
        rows = {row: rows[row] if row in rows else _widen(logits[:, row], left, right, column_shares) for row in needed}
        share = row_shares[y]
        classes[y] = ((1 - share) * rows[needed[0]] + share * rows[needed[1]]).argmax(0)
    return classes


def _widen(row: Array, left: Array, right: Array, shares: Array) -> Array:
    """(classes, width) from (classes, columns)."""
    widened: Array = (1 - shares) * row[:, left] + shares * row[:, right]
    return widened


def _neighbours(size: int, source: int) -> tuple[Array, Array, Array]:
    """For each of `size` points the indices of its two neighbours among `source`, and the share of the second."""
    points = np.maximum((np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(source / size) - 0.5, 0)
    first = np.minimum(points.astype(np.int64), source - 1)
    return first, np.minimum(first + 1, source - 1), (points - first).astype(np.float32)


def run_lengths(mask: Array) -> list[int]:
    """COCO's uncompressed run lengths of a mask (height, width): of zeros and ones in turn, column by column."""
    flat = mask.T.ravel().astype(bool)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths = np.diff(np.concatenate([[0], edges, [len(flat)]])).tolist()
    return [0, *lengths] if len(flat) and flat[0] else lengths


def to_png(mask: Array) -> bytes:
    """A black-and-white PNG of a mask (height, width)."""
    stream = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(stream, "PNG")
    return stream.getvalue()


def draw_classes(picture: Image.Image, classes: Array, present: Sequence[int]) -> Image.Image:
    """The picture with the pixels of each class tinted in the class's colour."""
    palette = np.zeros((max(present, default=0) + 1, 3), np.uint8)
    for number in present:
        palette[number] = colour(number)
    return Image.blend(picture, Image.fromarray(palette[classes]), 0.5)
