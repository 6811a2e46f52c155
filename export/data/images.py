"""Images for recipes: synthetic files, and calibration feeds for a graph from files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hearth.errors import HearthError
from hearth.models.preprocessing import ImagePreprocessing
from hearth.ops.vision.images import open_image, to_tensor
from hearth_build.data.datasets import DataError
from hearth_build.data.files import visible

MAX_PIXELS = 100_000_000
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"}


def synthetic_images() -> list[bytes]:
    """PNG files with gradients and shapes, which are not from any data set."""
    y, x = np.mgrid[0:48, 0:64] / 64.0
    ramps = np.stack([x, y, 1 - x], 2)
    disc = np.where(((x - 0.5) ** 2 + (y - 0.35) ** 2 < 0.06)[..., None], [0.9, 0.5, 0.1], [0.2, 0.4, 0.8])
    stripes = np.stack([np.sin(20 * x) / 2 + 0.5, np.sin(14 * y) / 2 + 0.5, np.sin(9 * (x + y)) / 2 + 0.5], 2)
    files = []
    for image in (ramps, disc, stripes):
        buffer = io.BytesIO()
        Image.fromarray((image * 255).astype(np.uint8)).save(buffer, "PNG")
        files.append(buffer.getvalue())
    return files


def sample_images(folder: Path, limit: int) -> list[Path]:
    """At most `limit` image files below the folder, evenly spaced in sorted order. Raises DataError if none exist."""
    files = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    paths = sorted(path for path in files if visible(path.relative_to(folder).parts))
    if not paths:
        raise DataError(f"{folder} contains no images ({', '.join(sorted(SUFFIXES))}).")
    return [paths[index] for index in np.linspace(0, len(paths) - 1, min(limit, len(paths))).round().astype(int)]


def calibration_feeds(
    files: Sequence[bytes], preprocessing: ImagePreprocessing, name: str, batch_size: int = 8
) -> list[dict[str, np.ndarray[Any, Any]]]:
    """Feeds for the graph's input `name`. An incomplete last batch is dropped. Raises DataError for an invalid file."""
    try:
        pixels = to_tensor((open_image(file, MAX_PIXELS) for file in files), preprocessing, len(files))
    except HearthError as error:
        raise DataError(f"An image for calibration cannot be read: {error.message}.") from None
    end = len(pixels) // batch_size * batch_size if len(pixels) >= batch_size else len(pixels)
    return [{name: pixels[start : start + batch_size]} for start in range(0, end, batch_size)]
