"""CIFAR-10 as JPEG files: decoded once into a cache, split and augmented."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from hearth_build.data.datasets import Source, hold_out, unique
from hearth_build.recipe import Batch, Example

LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
DEV_SHARE = 0.1
SPLIT_SEED = 10
SOURCE = Source(
    path="image_classification/cifar10_train_jpg.tar.gz",
    title="CIFAR-10 training images, as strongly compressed JPEG files",
    published="https://www.cs.toronto.edu/~kriz/cifar.html",
    licence="none stated",
    sha256="3c711becd9d4e1929e667e85dc46bd671b938c16e46410296e2b27240a7b3399",
)


def prepare(work: Path) -> None:
    """Write train.npz and dev.npz: `pixels` uint8 (n, 32, 32, 3), `labels` int64; dev also has its JPEG `files`."""
    images: list[tuple[str, bytes, bytes]] = []  # (name in the archive, file, pixels)
    with tarfile.open(SOURCE.file()) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name.endswith(".jpg") else None
            if file is not None:
                data = file.read()
                images.append((member.name, data, Image.open(io.BytesIO(data)).convert("RGB").tobytes()))
    images.sort()
    images = unique(images, lambda image: image[2].hex(), set())
    train, dev = hold_out(images, DEV_SHARE, lambda image: image[2].hex(), SPLIT_SEED)
    for name, split in (("train", train), ("dev", dev)):
        pixels = np.stack([np.frombuffer(raw, np.uint8).reshape(32, 32, 3) for _, _, raw in split])
        labels = np.array([LABELS.index(path.split("/")[-2]) for path, _, _ in split])
        files = np.array([data for _, data, _ in split], object) if name == "dev" else np.array([], object)
        np.savez(work / f"{name}.npz", pixels=pixels, labels=labels, files=files)


def normalise(pixels: NDArray[np.uint8]) -> torch.Tensor:
    """Return float32 (n, 3, height, width) from uint8 (n, height, width, 3)."""
    scaled = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255
    return ((scaled - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)).to(
        memory_format=torch.channels_last
    )


@dataclass
class AugmentedImages:
    """Training batches: random crops of padded images, half of them mirrored.

    The first part of the training uses smaller crops, which cost half and are almost as useful.
    """

    pixels: torch.Tensor  # float32 (n, 3, 40, 40), padded by reflection
    labels: torch.Tensor
    small: int = 24
    small_until: float = 0.55

    def plan(self, epoch: int, size: int, seed: int) -> Sequence[Sequence[int]]:
        order = np.random.default_rng((seed, epoch)).permutation(len(self.labels))
        count = len(order) // size
        return [batch.tolist() for batch in np.array_split(order[: count * size], count)]

    def collate(self, indices: Sequence[int], progress: float) -> Batch:
        side = self.small if progress < self.small_until else 32
        chosen = torch.tensor(indices)
        offsets = self.pixels.shape[2] - side + 1
        top, left = torch.randint(offsets, (len(indices), 1, 1, 1)), torch.randint(offsets, (len(indices), 1, 1, 1))
        rows = top + torch.arange(side).view(1, 1, side, 1)
        columns = left + torch.arange(side).view(1, 1, 1, side)
        columns = torch.where(torch.rand(len(indices), 1, 1, 1) < 0.5, columns.flip(3), columns)
        pixels = self.pixels[chosen.view(-1, 1, 1, 1), torch.arange(3).view(1, 3, 1, 1), rows, columns]
        return {"pixels": pixels.contiguous(memory_format=torch.channels_last), "labels": self.labels[chosen]}


def training(work: Path) -> AugmentedImages:
    arrays = np.load(work / "train.npz", allow_pickle=True)
    padded = np.pad(arrays["pixels"], ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")
    return AugmentedImages(normalise(padded), torch.from_numpy(arrays["labels"]))


def dev(work: Path) -> list[Example]:
    arrays = np.load(work / "dev.npz", allow_pickle=True)
    return [Example(file, int(label)) for file, label in zip(arrays["files"], arrays["labels"], strict=True)]


def dev_tensors(work: Path) -> tuple[torch.Tensor, torch.Tensor]:
    arrays = np.load(work / "dev.npz", allow_pickle=True)
    return normalise(arrays["pixels"]), torch.from_numpy(arrays["labels"])


def calibration(work: Path) -> list[Batch]:
    """Return training images without augmentation, for measuring activation ranges."""
    arrays = np.load(work / "train.npz", allow_pickle=True)
    chosen = np.random.default_rng(0).choice(len(arrays["labels"]), 512, replace=False)
    return [{"pixels": normalise(arrays["pixels"][batch])} for batch in np.array_split(np.sort(chosen), 8)]
