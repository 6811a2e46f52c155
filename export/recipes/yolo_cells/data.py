"""BCCD: blood cells with boxes, decoded once into a cache; turned, mirrored, scaled and mixed while training."""

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
"""The canvas: a picture of 640 x 480 fills 320 x 240 of it."""
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


def read(part: str) -> list[Example]:
    """The pictures of `train` or `val` with their boxes."""
    with tarfile.open(SOURCE.file()) as archive:
        files = {
            member.name: archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in archive
            if member.isfile()
        }
    names = files[f"BCCD/ImageSets/Main/{part}.txt"].decode().split()
    return [
        Example(
            files[f"BCCD/JPEGImages/{name}.jpg"],
            voc_boxes(ElementTree.fromstring(files[f"BCCD/Annotations/{name}.xml"])),  # noqa: S314
        )
        for name in names
    ]


def prepare(work: Path) -> None:
    """Write train.npz: `pixels` uint8 (n, 240, 320, 3), `boxes` float32 (n, most, 4), `classes` (n, most), -1: none."""
    pictures = read("train")
    most = max(len(picture.expected) for picture in pictures)
    boxes = np.zeros((len(pictures), most, 4), np.float32)
    classes = np.full((len(pictures), most), -1, np.int64)
    pixels = []
    for row, example in enumerate(pictures):
        picture = Image.open(io.BytesIO(example.inputs)).convert("RGB")
        factor = WIDTH / picture.width
        small = picture.resize((WIDTH, round(picture.height * factor)), Image.Resampling.BILINEAR)
        pixels.append(np.asarray(small))
        for column, box in enumerate(example.expected):
            boxes[row, column] = np.asarray(box["box"]) * factor
            classes[row, column] = LABELS.index(box["label"])
    np.savez(work / "train.npz", pixels=np.stack(pixels), boxes=boxes, classes=classes)


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    """float32 (n, 3, height, width) of 0..255, normalised."""
    scaled = (pixels / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    return scaled.contiguous(memory_format=torch.channels_last)


@dataclass
class Pictures:
    """Training batches. Cells have no up or down: each picture is turned by quarters and mirrored."""

    pixels: torch.Tensor  # float32 (n, 3, 240, 320) of 0..255, FILL taken off
    boxes: torch.Tensor
    classes: torch.Tensor
    mixed_until: float = 0.8
    """Until then some canvases are halves of two pictures."""

    def plan(self, epoch: int, size: int, seed: int) -> Sequence[Sequence[int]]:
        order = np.random.default_rng((seed, epoch)).permutation(len(self.pixels))
        count = len(order) // size
        return [batch.tolist() for batch in np.array_split(order[: count * size], count)]

    def collate(self, indices: Sequence[int], progress: float) -> Batch:
        chosen = torch.tensor(indices)
        pixels, boxes, classes = self.placed(chosen)
        if progress < self.mixed_until:
            pixels, boxes, classes = halves(pixels, boxes, classes)
        most = int((classes >= 0).sum(1).max())
        order = (classes < 0).int().argsort(dim=1, stable=True)[:, :most]
        boxes, classes = boxes.gather(1, order[..., None].expand(-1, -1, 4)), classes.gather(1, order)
        return {
            "pixels": normalised(coloured(pixels + FILL)),
            "boxes": boxes,
            "classes": classes.clamp(min=0),
            "real": classes >= 0,
        }

    def placed(self, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Each picture on a canvas: turned, mirrored, scaled by 0.8 to 1.25, moved."""
        count = len(chosen)
        pixels, boxes, classes = self.pixels[chosen], self.boxes[chosen], self.classes[chosen]
        size = torch.tensor([pixels.shape[3], pixels.shape[2]], dtype=torch.float32)
        canvas = torch.tensor([WIDTH, HEIGHT], dtype=torch.float32)
        scale = torch.exp(torch.empty(count).uniform_(-0.22, 0.22))
        signs = torch.randint(2, (count, 2)).float() * 2 - 1
        matrix = torch.diag_embed(signs * scale[:, None])  # from the picture to the canvas
        matrix = torch.where((torch.rand(count) < 0.5).view(-1, 1, 1), matrix.flip(2), matrix)
        shift = canvas / 2 + (torch.rand(count, 2) - 0.5) * canvas * 0.25
        inverse = torch.linalg.inv(matrix)
        # grid_sample counts both canvas and picture from -1 to 1.
        linear = inverse * canvas / size[:, None]
        offset = (inverse @ (canvas / 2 - shift)[..., None])[..., 0] * 2 / size
        grid = functional.affine_grid(
            torch.cat([linear, offset[..., None]], 2), [count, 3, HEIGHT, WIDTH], align_corners=False
        )
        moved = functional.grid_sample(pixels, grid, align_corners=False)
        corners = (boxes.view(count, -1, 2) - size / 2) @ matrix.transpose(1, 2) + shift[:, None]
        corners = corners.view(count, -1, 2, 2)
        return moved, *clipped(corners.amin(2), corners.amax(2), classes, torch.zeros(2), canvas)


def clipped(
    low: torch.Tensor, high: torch.Tensor, classes: torch.Tensor, first: torch.Tensor, last: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes cut to first..last; one that loses more than two thirds of its area is none any more."""
    before = (high - low).prod(-1)
    low, high = torch.minimum(torch.maximum(low, first), last), torch.minimum(torch.maximum(high, first), last)
    kept = (high - low).prod(-1) > before / 3
    return torch.cat([low, high], -1), torch.where(kept, classes, -1)


def halves(
    pixels: torch.Tensor, boxes: torch.Tensor, classes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For half of the batch, what lies right of some column comes from its neighbour in the batch."""
    pixels, others = pixels.clone(), pixels.roll(1, 0)
    limits = torch.tensor([WIDTH, HEIGHT], dtype=torch.float32)
    joined_boxes, joined_classes = [], []
    for row in range(len(pixels)):
        cut = int(torch.randint(WIDTH // 4, WIDTH * 3 // 4, ())) if torch.rand(()) < 0.5 else WIDTH
        pixels[row, :, :, cut:] = others[row, :, :, cut:]
        edge, end = torch.tensor([cut, 0.0]), torch.tensor([cut, float(HEIGHT)])
        left = clipped(boxes[row, :, :2], boxes[row, :, 2:], classes[row], torch.zeros(2), end)
        other = row - 1
        right = clipped(boxes[other, :, :2], boxes[other, :, 2:], classes[other], edge, limits)
        joined_boxes.append(torch.cat([left[0], right[0]]))
        joined_classes.append(torch.cat([left[1], right[1]]))
    return pixels, torch.stack(joined_boxes), torch.stack(joined_classes)


def coloured(pixels: torch.Tensor) -> torch.Tensor:
    """Each picture's brightness, contrast and channels a little off."""
    count = len(pixels)
    mean = pixels.mean((1, 2, 3), keepdim=True)
    contrast = torch.empty(count, 1, 1, 1).uniform_(0.7, 1.3)
    gain = torch.empty(count, 1, 1, 1).uniform_(0.8, 1.2) * torch.empty(count, 3, 1, 1).uniform_(0.9, 1.1)
    return (((pixels - mean) * contrast + mean) * gain).clamp(0, 255)


def training(work: Path) -> Pictures:
    stored = np.load(work / "train.npz")
    pixels = torch.from_numpy(stored["pixels"]).permute(0, 3, 1, 2).float() - FILL
    return Pictures(pixels.contiguous(), torch.from_numpy(stored["boxes"]), torch.from_numpy(stored["classes"]))


def dev(work: Path) -> list[Example]:
    return read("val")


def calibration(work: Path) -> list[Batch]:
    """Training pictures on the canvas as they are served, for measuring activation ranges."""
    pixels = torch.from_numpy(np.load(work / "train.npz")["pixels"][::4]).permute(0, 3, 1, 2).float()
    canvas = torch.full((len(pixels), 3, HEIGHT, WIDTH), float(FILL))
    canvas[:, :, : pixels.shape[2]] = pixels
    return [{"pixels": part.contiguous()} for part in normalised(canvas).split(8)]


def synthetic() -> list[bytes]:
    """PNG files of our own making: discs on a pale ground, nothing of the data set."""
    files = []
    for seed, size in enumerate([(640, 480), (480, 640)]):
        draw = np.random.default_rng(seed)
        picture = Image.new("RGB", size, (225, 215, 205))
        canvas = ImageDraw.Draw(picture)
        for _ in range(9):
            x, y = draw.uniform(60, size[0] - 60), draw.uniform(60, size[1] - 60)
            canvas.ellipse((x - 52, y - 52, x + 52, y + 52), (205, 150, 140), (190, 120, 115), 5)
        x, y = draw.uniform(110, size[0] - 110), draw.uniform(110, size[1] - 110)
        canvas.ellipse((x - 95, y - 95, x + 95, y + 95), (200, 160, 190))
        canvas.ellipse((x - 60, y - 55, x + 60, y + 55), (95, 60, 140))
        opened = io.BytesIO()
        picture.save(opened, "PNG")
        files.append(opened.getvalue())
    return files
