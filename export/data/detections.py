"""Images with boxes on a detector's canvas, augmented by transforming and combining images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from hearth.models.preprocessing import ImagePreprocessing
from hearth.ops.vision.images import open_image, place
from hearth_build.data import pixels as images
from hearth_build.data.files import content
from hearth_build.data.images import MAX_PIXELS
from hearth_build.recipe import Batch, Example

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
FILL = 114


def letterbox(width: int, height: int) -> ImagePreprocessing:
    """The preprocessing of a detector: the image in the upper left corner of the canvas."""
    return ImagePreprocessing(width=width, height=height, resize="letterbox", mean=MEAN, std=STD, fill=FILL)


@dataclass(frozen=True)
class Canvases:
    pixels: np.ndarray
    """uint8 (images, height, width, 3)."""
    boxes: np.ndarray
    """float32 (images, boxes, 4): corners in pixels of the canvas."""
    classes: np.ndarray
    """int64 (images, boxes); -1 where an image has fewer boxes."""


def place_images(
    examples: Sequence[Example], labels: Sequence[str], preprocessing: ImagePreprocessing, path: Path
) -> Canvases:
    """Decode images onto the canvas, into a file that is mapped into memory; boxes move with them."""
    pixels = images.decode(examples, preprocessing, path)
    count = max((len(example.expected) for example in examples), default=0) or 1
    boxes = np.zeros((len(examples), count, 4), np.float32)
    classes = np.full((len(examples), count), -1, np.int64)
    for row, example in enumerate(examples):
        size = open_image(content(example.inputs), MAX_PIXELS).size
        placement = place(size, preprocessing)
        kept = [box for box in example.expected if not box["crowd"]]
        for column, box in enumerate(kept):
            low_high = np.asarray(box["box"], np.float32).reshape(2, 2).clip(0, size)
            boxes[row, column] = (low_high * placement.scale + placement.offset).reshape(4)
            classes[row, column] = labels.index(box["label"])
    return Canvases(pixels, boxes, classes)


def normalise(pixels: torch.Tensor, preprocessing: ImagePreprocessing) -> torch.Tensor:
    """Normalise pixels of 0..255, float32 (n, 3, height, width)."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return ((pixels / preprocessing.scale - mean) / std).contiguous(memory_format=torch.channels_last)


@dataclass
class AugmentedDetections:
    """Training batches: images mirrored, scaled, shifted, combined, with other colours."""

    canvases: Canvases
    preprocessing: ImagePreprocessing
    turns: bool
    """Whether images have no up or down: they are turned by multiples of 90 degrees and mirrored upside down."""
    mixed_until: float = 0.8
    """Training progress until which some canvases combine two images."""

    def plan(self, epoch: int, size: int, seed: int) -> Sequence[Sequence[int]]:
        order = np.random.default_rng((seed, epoch)).permutation(len(self.canvases.pixels))
        count = max(len(order) // size, 1)
        return [batch.tolist() for batch in np.array_split(order[: count * size], count)]

    def collate(self, indices: Sequence[int], progress: float) -> Batch:
        pixels, boxes, classes = self.transform(np.array(indices))
        if progress < self.mixed_until:
            pixels, boxes, classes = combine(pixels, boxes, classes)
        count = max(int((classes >= 0).sum(1).max()), 1)
        order = (classes < 0).int().argsort(dim=1, stable=True)[:, :count]
        boxes, classes = boxes.gather(1, order[..., None].expand(-1, -1, 4)), classes.gather(1, order)
        return {
            "pixels": normalise(jitter_colours(pixels + self.preprocessing.fill), self.preprocessing),
            "boxes": boxes,
            "classes": classes.clamp(min=0),
            "real": classes >= 0,
        }

    def transform(self, chosen: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Mirror each image, scale it by 0.8 to 1.25 and shift it. Pixels are relative to the fill."""
        count = len(chosen)
        pixels = torch.from_numpy(self.canvases.pixels[chosen]).permute(0, 3, 1, 2).float() - self.preprocessing.fill
        boxes, classes = torch.from_numpy(self.canvases.boxes[chosen]), torch.from_numpy(self.canvases.classes[chosen])
        canvas = torch.tensor([pixels.shape[3], pixels.shape[2]], dtype=torch.float32)
        scale = torch.exp(torch.empty(count).uniform_(-0.22, 0.22))
        signs = torch.randint(2, (count, 2)).float() * 2 - 1
        if not self.turns:
            signs[:, 1] = 1
        matrix = torch.diag_embed(signs * scale[:, None])  # from the image to the canvas
        if self.turns:
            matrix = torch.where((torch.rand(count) < 0.5).view(-1, 1, 1), matrix.flip(2), matrix)
        shift = canvas / 2 + (torch.rand(count, 2) - 0.5) * canvas * 0.25
        inverse = torch.linalg.inv(matrix)
        # grid_sample uses coordinates from -1 to 1 for both canvas and image.
        linear = inverse * canvas / canvas[:, None]
        offset = (inverse @ (canvas / 2 - shift)[..., None])[..., 0] * 2 / canvas
        grid = functional.affine_grid(
            torch.cat([linear, offset[..., None]], 2), list(pixels.shape), align_corners=False
        )
        moved = functional.grid_sample(pixels, grid, align_corners=False)
        corners = (boxes.view(count, -1, 2) - canvas / 2) @ matrix.transpose(1, 2) + shift[:, None]
        corners = corners.view(count, -1, 2, 2)
        return moved, *clip_boxes(corners.amin(2), corners.amax(2), classes, torch.zeros(2), canvas)


def clip_boxes(
    low: torch.Tensor, high: torch.Tensor, classes: torch.Tensor, first: torch.Tensor, last: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Clip boxes to the corners first and last. A box that loses more than two thirds of its area gets the class -1."""
    areas = (high - low).prod(-1)
    low, high = torch.minimum(torch.maximum(low, first), last), torch.minimum(torch.maximum(high, first), last)
    is_visible = (high - low).prod(-1) > areas / 3
    return torch.cat([low, high], -1), torch.where(is_visible, classes, -1)


def combine(
    pixels: torch.Tensor, boxes: torch.Tensor, classes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For half of the batch, replace everything right of a random column by the neighbour in the batch."""
    pixels, others = pixels.clone(), pixels.roll(1, 0)
    width, height = pixels.shape[3], pixels.shape[2]
    limits = torch.tensor([width, height], dtype=torch.float32)
    joined_boxes, joined_classes = [], []
    for row in range(len(pixels)):
        cut = int(torch.randint(width // 4, width * 3 // 4, ())) if torch.rand(()) < 0.5 else width
        pixels[row, :, :, cut:] = others[row, :, :, cut:]
        edge, end = torch.tensor([cut, 0.0]), torch.tensor([cut, float(height)])
        left = clip_boxes(boxes[row, :, :2], boxes[row, :, 2:], classes[row], torch.zeros(2), end)
        other = row - 1
        right = clip_boxes(boxes[other, :, :2], boxes[other, :, 2:], classes[other], edge, limits)
        joined_boxes.append(torch.cat([left[0], right[0]]))
        joined_classes.append(torch.cat([left[1], right[1]]))
    return pixels, torch.stack(joined_boxes), torch.stack(joined_classes)


def jitter_colours(pixels: torch.Tensor) -> torch.Tensor:
    """Change each image's brightness, contrast and channels slightly."""
    count = len(pixels)
    mean = pixels.mean((1, 2, 3), keepdim=True)
    contrast = torch.empty(count, 1, 1, 1).uniform_(0.7, 1.3)
    gain = torch.empty(count, 1, 1, 1).uniform_(0.8, 1.2) * torch.empty(count, 3, 1, 1).uniform_(0.9, 1.1)
    return (((pixels - mean) * contrast + mean) * gain).clamp(0, 255)


def feeds(canvases: Canvases, preprocessing: ImagePreprocessing, step: int = 1) -> list[Batch]:
    """Every `step`-th image on the canvas, unchanged, on which ranges of activations are measured."""
    pixels = torch.from_numpy(np.ascontiguousarray(canvases.pixels[::step])).permute(0, 3, 1, 2).float()
    return [{"pixels": batch.contiguous()} for batch in normalise(pixels, preprocessing).split(8)]
