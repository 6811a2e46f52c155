"""Decoded images of a data set: what can be read of it, thumbnails for comparison, and arrays for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from hearth.errors import HearthError
from hearth.models.preprocessing import ImagePreprocessing
from hearth.ops.vision.images import open_image, to_tensor
from hearth_build.data.datasets import DataError
from hearth_build.data.files import content
from hearth_build.data.images import MAX_PIXELS
from hearth_build.data.report import LISTED, DataReport
from hearth_build.recipe import Batch, Example

THUMBNAIL = 16


@dataclass(frozen=True)
class Survey:
    examples: list[Example]
    """Those that can be decoded."""
    sizes: np.ndarray
    """Width and height, (images, 2)."""
    thumbnails: np.ndarray
    """uint8 (images, THUMBNAIL, THUMBNAIL, 3)."""


def survey(examples: Sequence[Example], report: DataReport) -> Survey:
    """Decode every image once. Those that cannot be decoded are named in the report; DataError if none can."""
    kept: list[Example] = []
    broken: list[str] = []
    sizes, thumbnails = [], []
    for example in examples:
        try:
            image = open_image(content(example.inputs), MAX_PIXELS)
        except HearthError:
            broken.append(example.name)
            continue
        kept.append(example)
        sizes.append(image.size)
        thumbnails.append(np.asarray(image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)))
    if broken:
        names = ", ".join(broken[:LISTED]) + (", …" if len(broken) > LISTED else "")
        report.warnings.append(f"{len(broken):,} images cannot be decoded and are left out: {names}")
    if not kept:
        raise DataError(f"None of the {len(examples)} images can be decoded, for example {examples[0].name}.")
    sides = np.array(sizes)
    low, high = np.percentile(sides, [5, 95], axis=0).astype(int)
    report.facts.append(f"Images: {low[0]} x {low[1]} to {high[0]} x {high[1]} pixels (90 % of them)")
    return Survey(kept, sides, np.stack(thumbnails))


def decode(examples: Sequence[Example], preprocessing: ImagePreprocessing, path: Path) -> np.ndarray:
    """The images on the model's canvas, uint8 (images, height, width, 3), in a file that is mapped into memory.

    They are resized by the runtime, as they are when the model is served.
    """
    shape = (len(examples), preprocessing.height, preprocessing.width, 3)
    pixels = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    plain = ImagePreprocessing(
        width=preprocessing.width,
        height=preprocessing.height,
        resize=preprocessing.resize,
        resample=preprocessing.resample,
        fill=preprocessing.fill,
        centred=preprocessing.centred,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        scale=1.0,
    )
    for index, example in enumerate(examples):
        image = open_image(content(example.inputs), MAX_PIXELS)
        pixels[index] = to_tensor([image], plain, 1)[0].transpose(1, 2, 0).round()
    return pixels


def normalise(pixels: np.ndarray, preprocessing: ImagePreprocessing) -> torch.Tensor:
    """Return float32 (n, 3, height, width) from uint8 (n, height, width, 3)."""
    scaled = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / preprocessing.scale
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return ((scaled - mean) / std).contiguous(memory_format=torch.channels_last)


@dataclass
class AugmentedImages:
    """Training batches: images moved, scaled, turned a little, with other colours, partly covered, and mirrored."""

    pixels: np.ndarray
    """uint8 (images, height, width, 3)."""
    targets: torch.Tensor
    preprocessing: ImagePreprocessing
    mirrors: bool
    """Whether a mirror image belongs to the same class, which holds for objects but not for letters."""

    def plan(self, epoch: int, size: int, seed: int) -> Sequence[Sequence[int]]:
        order = np.random.default_rng((seed, epoch)).permutation(len(self.targets))
        count = max(len(order) // size, 1)
        return [batch.tolist() for batch in np.array_split(order[: count * size], count)]

    def collate(self, indices: Sequence[int], progress: float) -> Batch:
        images = normalise(self.pixels[np.sort(indices)], self.preprocessing)
        targets = self.targets[np.sort(indices)]
        images = cover(recolour(move(images, self.mirrors)))
        return {"pixels": images.contiguous(memory_format=torch.channels_last), "labels": targets}


def move(images: torch.Tensor, mirrors: bool) -> torch.Tensor:
    """Scale by 0.8 to 1.25, shift by up to a tenth, turn by up to 10 degrees."""
    count = len(images)
    angle = torch.empty(count).uniform_(-0.17, 0.17)
    scale = torch.exp(torch.empty(count, 2).uniform_(-0.22, 0.22))
    flip = torch.where(torch.rand(count) < 0.5, -1.0, 1.0) if mirrors else torch.ones(count)
    matrix = torch.stack([angle.cos() * flip, -angle.sin(), angle.sin() * flip, angle.cos()], 1).view(count, 2, 2)
    shift = torch.empty(count, 2, 1).uniform_(-0.2, 0.2)
    grid = torch.nn.functional.affine_grid(
        torch.cat([matrix / scale[:, None], shift], 2), list(images.shape), align_corners=False
    )
    return torch.nn.functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def recolour(images: torch.Tensor) -> torch.Tensor:
    """Change brightness, contrast and the balance of channels, in units of normalised pixels."""
    count = len(images)
    mean = images.mean((1, 2, 3), keepdim=True)
    contrast = torch.empty(count, 1, 1, 1).uniform_(0.75, 1.25)
    tint = torch.empty(count, 3, 1, 1).uniform_(-0.1, 0.1) + torch.empty(count, 1, 1, 1).uniform_(-0.2, 0.2)
    return (images - mean) * contrast + mean + tint


def cover(images: torch.Tensor) -> torch.Tensor:
    """Cover a random quarter of half of the images (cutout)."""
    count, _, height, width = images.shape
    rows, columns = torch.arange(height).view(1, -1, 1), torch.arange(width).view(1, 1, -1)
    top, left = torch.randint(-height // 4, height, (count, 1, 1)), torch.randint(-width // 4, width, (count, 1, 1))
    inside = (rows >= top) & (rows < top + height // 2) & (columns >= left) & (columns < left + width // 2)
    inside &= torch.rand(count, 1, 1) < 0.5
    return images.masked_fill(inside[:, None], 0.0)


def feeds(pixels: np.ndarray, preprocessing: ImagePreprocessing, count: int, seed: int) -> list[Batch]:
    """Unchanged training images, on which ranges of activations are measured."""
    chosen = np.sort(np.random.default_rng(seed).permutation(len(pixels))[:count])
    return [
        {"pixels": normalise(pixels[chosen[start : start + 8]], preprocessing)} for start in range(0, len(chosen), 8)
    ]
