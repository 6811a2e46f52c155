"""Preprocessing and postprocessing of pictures for the peers' engines, as their users write it with Pillow and
NumPy."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
Run = Callable[[np.ndarray], np.ndarray]


def predictor(kind: str, path: str, run: Run) -> Callable[[], object]:
    """A call that predicts the best five classes (`labels`) or the boxes (`boxes`) of the picture."""
    data = Path(path).read_bytes()
    return lambda: {"labels": labels, "boxes": boxes}[kind](data, run)


def labels(data: bytes, run: Run) -> list[tuple[int, float]]:
    picture = Image.open(BytesIO(data)).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
    logits = run(tensor(picture))[0]
    exponents = np.exp(logits - logits.max())
    scores = exponents / exponents.sum()
    return [(int(index), float(scores[index])) for index in np.argsort(-scores)[:5]]


def boxes(data: bytes, run: Run, size: int = 640, threshold: float = 0.25, iou: float = 0.5) -> list[list[float]]:
    picture = Image.open(BytesIO(data)).convert("RGB")
    scale = size / max(picture.size)
    small = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BILINEAR)
    canvas = Image.new("RGB", (size, size), (114, 114, 114))
    canvas.paste(small)
    rows = run(tensor(canvas))[0]
    scores = rows[:, 4:].max(1)
    rows, scores = rows[scores >= threshold], scores[scores >= threshold]
    corners = np.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], 1) / scale
    selected: list[list[float]] = []
    for index in np.argsort(-scores):
        if all(overlap(corners[index], other) <= iou for other in selected):
            selected.append(corners[index].tolist())
    return selected


def tensor(picture: Image.Image) -> np.ndarray:
    values = (np.asarray(picture, np.float32) / 255 - MEAN) / STD
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None])


def overlap(box: np.ndarray, other: list[float]) -> float:
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = (box[2] - box[0]) * (box[3] - box[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return float(shared / (areas - shared)) if shared else 0.0
