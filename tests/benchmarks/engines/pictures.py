"""What the peers' engines do before and after a graph of pictures, as their users write it: Pillow and NumPy."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
Run = Callable[[np.ndarray], np.ndarray]


def asked(kind: str, path: str, run: Run) -> Callable[[], object]:
    """A call that answers the picture: `labels` as the best five classes, `boxes` as the boxes kept."""
    data = Path(path).read_bytes()
    return lambda: {"labels": labels, "boxes": boxes}[kind](data, run)


def labels(data: bytes, run: Run) -> list[tuple[int, float]]:
    picture = Image.open(BytesIO(data)).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
    logits = run(tensor(picture))[0]
    raised = np.exp(logits - logits.max())
    scores = raised / raised.sum()
    return [(int(index), float(scores[index])) for index in np.argsort(-scores)[:5]]


def boxes(data: bytes, run: Run, size: int = 640, threshold: float = 0.25, iou: float = 0.5) -> list[list[float]]:
    picture = Image.open(BytesIO(data)).convert("RGB")
    scale = size / max(picture.size)
    small = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BILINEAR)
    canvas = Image.new("RGB", (size, size), (114, 114, 114))
    canvas.paste(small)
    rows = run(tensor(canvas))[0]
    best = rows[:, 4:].max(1)
    rows, best = rows[best >= threshold], best[best >= threshold]
    corners = np.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], 1) / scale
    kept: list[list[float]] = []
    for index in np.argsort(-best):
        if all(overlap(corners[index], other) <= iou for other in kept):
            kept.append(corners[index].tolist())
    return kept


def tensor(picture: Image.Image) -> np.ndarray:
    values = (np.asarray(picture, np.float32) / 255 - MEAN) / STD
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None])


def overlap(one: np.ndarray, other: list[float]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    whole = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return float(shared / (whole - shared)) if shared else 0.0
