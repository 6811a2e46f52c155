"""BCCD: images of blood cells with boxes, decoded once into a cache; augmented by transforming and combining images."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image, ImageDraw

from hearth_build.data import detections
from hearth_build.data.boxes import voc_boxes
from hearth_build.data.datasets import Source
from hearth_build.recipe import Batch, Example

LABELS = ("RBC", "WBC", "Platelets")
WIDTH, HEIGHT = 320, 256
"""Size of the canvas; an image of 640 x 480 fills 320 x 240 of it."""
PREPROCESSING = detections.letterbox(WIDTH, HEIGHT)
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
    """Write train.npz, the arrays of detections.Canvases."""
    canvases = detections.place_images(read("train"), LABELS, PREPROCESSING, work / "pixels.npy")
    np.savez(work / "train.npz", boxes=canvases.boxes, classes=canvases.classes)


def canvases(work: Path) -> detections.Canvases:
    arrays = np.load(work / "train.npz")
    return detections.Canvases(np.load(work / "pixels.npy", mmap_mode="r"), arrays["boxes"], arrays["classes"])


def training(work: Path) -> detections.AugmentedDetections:
    return detections.AugmentedDetections(canvases(work), PREPROCESSING, turns=True)


def dev(work: Path) -> list[Example]:
    return read("val")


def calibration(work: Path) -> list[Batch]:
    """Return training images on the canvas without augmentation, for measuring activation ranges."""
    return detections.feeds(canvases(work), PREPROCESSING, step=4)


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
