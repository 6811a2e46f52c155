"""Pictures for recipes: files of our own making, and a graph's feeds from files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hearth.errors import HearthError
from hearth.models.manifest import ImagePreprocessing
from hearth.ops.vision.images import open_image, to_tensor
from hearth_build.data.datasets import DataError

PIXELS = 100_000_000
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"}


def synthetic() -> list[bytes]:
    """PNG files: gradients and shapes, nothing of any data set."""
    y, x = np.mgrid[0:48, 0:64] / 64.0
    ramps = np.stack([x, y, 1 - x], 2)
    disc = np.where(((x - 0.5) ** 2 + (y - 0.35) ** 2 < 0.06)[..., None], [0.9, 0.5, 0.1], [0.2, 0.4, 0.8])
    stripes = np.stack([np.sin(20 * x) / 2 + 0.5, np.sin(14 * y) / 2 + 0.5, np.sin(9 * (x + y)) / 2 + 0.5], 2)
    files = []
    for picture in (ramps, disc, stripes):
        opened = io.BytesIO()
        Image.fromarray((picture * 255).astype(np.uint8)).save(opened, "PNG")
        files.append(opened.getvalue())
    return files


def pictures_in(folder: Path, most: int) -> list[Path]:
    """At most so many picture files below the folder, evenly spread. Raises DataError where there is none."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise DataError(f"{folder} holds no picture ({', '.join(sorted(SUFFIXES))}).")
    return [found[number] for number in np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int)]


def feeds(files: Sequence[bytes], how: ImagePreprocessing, name: str, batch: int = 8) -> list[dict[str, Tensor]]:
    """What a graph's input `name` gets of these pictures, `batch` at a time; an unreadable file is an error."""
    try:
        pixels = to_tensor((open_image(file, PIXELS) for file in files), how, len(files))
    except HearthError as error:
        raise DataError(f"A picture for calibration cannot be read: {error.message}.") from None
    full = len(pixels) // batch * batch if len(pixels) >= batch else len(pixels)
    return [{name: torch.from_numpy(pixels[start : start + batch])} for start in range(0, full, batch)]
