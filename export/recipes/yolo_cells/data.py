"""BCCD: images of blood cells with boxes, decoded once into a cache; augmented by transforming and combining images."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch.nn import functional

from hearth_build.data.datasets import Source
from hearth_build.evaluations.object_detection import voc_boxes
from hearth_build.recipe import Batch, Example

LABELS = ("RBC", "WBC", "Platelets")
WIDTH, HEIGHT = 320, 256
"""Size of the canvas; an image of 640 x 480 fills 320 x 240 of it."""
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
FILL = 114
SOURCE = Source(
    path="object_detection/bccd_train_val_voc.tar.gz",
    title="BCCD, blood cells with boxes, train and val",
    published="https://github.com/Shenggan/BCCD_Dataset",
    licence="MIT",
    sha256="bab369e73cf3a9474377f903b37973a98a355b07ba7276c87d34a472a6ed6a58",
)


def read(split: str) -> list[Example]:
    """Return the images of `train` or `val` with their boxes."""
    with tarfile.open(SOURCE.file()) as archive:
        files = {
            member.name: archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in archive
            if member.isfile()
        }
    names = files[f"BCCD/ImageSets/Main/{split}.txt"].decode().split()
    return [
        Example(
            files[f"BCCD/JPEGImages/{name}.jpg"],
            voc_boxes(ElementTree.fromstring(files[f"BCCD/Annotations/{name}.xml"])),  # noqa: S314
        )
        for name in names
    ]


def prepare(work: Path) -> None:
    """Write train.npz: `pixels` uint8 (n, 240, 320, 3), `boxes` float32 (n, boxes, 4), `classes` (n, boxes) or -1."""
    examples = read("train")
    count = max(len(example.expected) for example in examples)
    boxes = np.zeros((len(examples), count, 4), np.float32)
    classes = np.full((len(examples), count), -1, np.int64)
    pixels = []
    for row, example in enumerate(examples):
        image = Image.open(io.BytesIO(example.inputs)).convert("RGB")
        factor = WIDTH / image.width
        small = image.resize((WIDTH, round(image.height * factor)), Image.Resampling.BILINEAR)
        pixels.append(np.asarray(small))
        for column, box in enumerate(example.expected):
            boxes[row, column] = np.asarray(box["box"]) * factor
            classes[row, column] = LABELS.index(box["label"])
    np.savez(work / "train.npz", pixels=np.stack(pixels), boxes=boxes, classes=classes)


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """Normalise pixels of 0..255, float32 (n, 3, height, width)."""
    scaled = (pixels / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    return scaled.contiguous(memory_format=torch.channels_last)


@dataclass
class AugmentedImages:
    """Training batches. Cells have no up or down, so images are rotated by multiples of 90 degrees and mirrored."""

    pixels: torch.Tensor  # float32 (n, 3, 240, 320) of 0..255 minus FILL
    boxes: torch.Tensor
    classes: torch.Tensor
    mixed_until: float = 0.8
    """Training progress until which some canvases combine two images."""

    def plan(self, epoch: int, size: int, seed: int) -> Sequence[Sequence[int]]:
        order = np.random.default_rng((seed, epoch)).permutation(len(self.pixels))
        count = len(order) // size
        return [batch.tolist() for batch in np.array_split(order[: count * size], count)]

    def collate(self, indices: Sequence[int], progress: float) -> Batch:
        chosen = torch.tensor(indices)
        pixels, boxes, classes = self.transform(chosen)
        if progress < self.mixed_until:
            pixels, boxes, classes = combine(pixels, boxes, classes)
        count = int((classes >= 0).sum(1).max())
        order = (classes < 0).int().argsort(dim=1, stable=True)[:, :count]
        boxes, classes = boxes.gather(1, order[..., None].expand(-1, -1, 4)), classes.gather(1, order)
        return {
            "pixels": normalise(jitter_colours(pixels + FILL)),
            "boxes": boxes,
            "classes": classes.clamp(min=0),
            "real": classes >= 0,
        }

    def transform(self, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Place each image on a canvas: rotated, mirrored, scaled by 0.8 to 1.25 and shifted."""
        count = len(chosen)
        pixels, boxes, classes = self.pixels[chosen], self.boxes[chosen], self.classes[chosen]
        size = torch.tensor([pixels.shape[3], pixels.shape[2]], dtype=torch.float32)
        canvas = torch.tensor([WIDTH, HEIGHT], dtype=torch.float32)
        scale = torch.exp(torch.empty(count).uniform_(-0.22, 0.22))
        signs = torch.randint(2, (count, 2)).float() * 2 - 1
        matrix = torch.diag_embed(signs * scale[:, None])  # from the image to the canvas
        matrix = torch.where((torch.rand(count) < 0.5).view(-1, 1, 1), matrix.flip(2), matrix)
        shift = canvas / 2 + (torch.rand(count, 2) - 0.5) * canvas * 0.25
        inverse = torch.linalg.inv(matrix)
        # grid_sample uses coordinates from -1 to 1 for both canvas and image.
        linear = inverse * canvas / size[:, None]
        offset = (inverse @ (canvas / 2 - shift)[..., None])[..., 0] * 2 / size
        grid = functional.affine_grid(
            torch.cat([linear, offset[..., None]], 2), [count, 3, HEIGHT, WIDTH], align_corners=False
        )
        moved = functional.grid_sample(pixels, grid, align_corners=False)
        corners = (boxes.view(count, -1, 2) - size / 2) @ matrix.transpose(1, 2) + shift[:, None]
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
    limits = torch.tensor([WIDTH, HEIGHT], dtype=torch.float32)
    joined_boxes, joined_classes = [], []
    for row in range(len(pixels)):
        cut = int(torch.randint(WIDTH // 4, WIDTH * 3 // 4, ())) if torch.rand(()) < 0.5 else WIDTH
        pixels[row, :, :, cut:] = others[row, :, :, cut:]
        edge, end = torch.tensor([cut, 0.0]), torch.tensor([cut, float(HEIGHT)])
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


def training(work: Path) -> AugmentedImages:
    arrays = np.load(work / "train.npz")
    pixels = torch.from_numpy(arrays["pixels"]).permute(0, 3, 1, 2).float() - FILL
    return AugmentedImages(pixels.contiguous(), torch.from_numpy(arrays["boxes"]), torch.from_numpy(arrays["classes"]))


def dev(work: Path) -> list[Example]:
    return read("val")


def calibration(work: Path) -> list[Batch]:
    """Return training images on the canvas without augmentation, for measuring activation ranges."""
    pixels = torch.from_numpy(np.load(work / "train.npz")["pixels"][::4]).permute(0, 3, 1, 2).float()
    canvas = torch.full((len(pixels), 3, HEIGHT, WIDTH), float(FILL))
    canvas[:, :, : pixels.shape[2]] = pixels
    return [{"pixels": batch.contiguous()} for batch in normalise(canvas).split(8)]


def synthetic() -> list[bytes]:
    """Return synthetic PNG files: discs on a pale background, nothing of the data set."""
    files = []
    for seed, size in enumerate([(640, 480), (480, 640)]):
        random = np.random.default_rng(seed)
        image = Image.new("RGB", size, (225, 215, 205))
        canvas = ImageDraw.Draw(image)
        for _ in range(9):
            x, y = random.uniform(60, size[0] - 60), random.uniform(60, size[1] - 60)
            canvas.ellipse((x - 52, y - 52, x + 52, y + 52), (205, 150, 140), (190, 120, 115), 5)
        x, y = random.uniform(110, size[0] - 110), random.uniform(110, size[1] - 110)
        canvas.ellipse((x - 95, y - 95, x + 95, y + 95), (200, 160, 190))
        canvas.ellipse((x - 60, y - 55, x + 60, y + 55), (95, 60, 140))
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        files.append(buffer.getvalue())
    return files
