"""object-detection from images with boxes: a small anchor-free detector, trained from scratch."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn

from hearth.models.heads import Detector
from hearth.models.manifest import Limits
from hearth.models.preprocessing import ImagePreprocessing
from hearth_build.data import boxes, detections, pixels
from hearth_build.data.datasets import DataError
from hearth_build.data.report import LISTED, DataReport, describe_parts, describe_split
from hearth_build.data.split import duplicate_images, split
from hearth_build.networks import yolox, yolox_loss
from hearth_build.onnx_export.export import traced
from hearth_build.pipeline import train
from hearth_build.recipe import (
    AdamW,
    Batch,
    Example,
    Gate,
    OneCycle,
    Recipe,
    RecipeError,
    Stage,
    StaticInt8,
)
from hearth_build.training.candidates import Candidate, Data, Session, Trainer
from hearth_build.training.classification import data_section

LONG_SIDE = 320
"""Longest side of the canvas; 416 if many objects would be smaller than SMALL pixels."""
LARGE_LONG_SIDE = 416
SMALL = 10
MAX_EPOCHS = 110
SECOND_SHARE = 0.27
"""Share of the epochs that the second stage gets, with new scores of small objects."""
BATCH_SIZE = 8
MIN_IMAGES = 20
SYMMETRY = 0.04
"""Largest difference of the mean brightness of halves of images, as a share of white, for which they have no up."""


@dataclass(frozen=True)
class BoxData(Data):
    size: tuple[int, int] = (LONG_SIDE, LONG_SIDE)
    """Width and height of the canvas."""
    turns: bool = False
    """Whether the images have no up or down, as those of microscopes and of the ground from above."""


def read(session: Session) -> BoxData:
    """Read, decode, check and split the images. Raises DataError."""
    plan, report = session.plan, DataReport()
    examples, test = boxes.read(Path(plan.data)), boxes.read(Path(plan.test)) if plan.test else []
    if len(examples) < MIN_IMAGES:
        raise DataError(
            f"{plan.data} has {len(examples)} images. At least {MIN_IMAGES} are needed to train and to measure; some "
            "hundreds give good models."
        )
    counts = count_labels(examples)
    if not counts:
        raise DataError(f"None of the {len(examples)} images of {plan.data} has a box: there is nothing to learn.")
    listed = ", ".join(f"{label} {count:,}" for label, count in counts.most_common(20))
    empty = sum(not example.expected for example in examples)
    report.facts.append(f"{len(examples):,} images, {empty:,} of them without boxes; boxes: {listed}")
    describe_parts(report, plan.data)
    seen = pixels.survey([*examples, *test], report)
    readable = set(map(id, seen.examples))
    examples, test = ([item for item in part if id(item) in readable] for part in (examples, test))
    describe_boxes(seen, report)
    duplicates = duplicate_images(seen.thumbnails)
    own_test = (test, duplicates.clusters[len(examples) :]) if test else None
    parts = split(examples, duplicates.clusters[: len(examples)], plan.seed, own_test)
    describe_split(report, parts, duplicates)
    labels = tuple(sorted(count_labels(parts.train)))
    if unseen := sorted(set(count_labels([*parts.validation, *parts.test])) - set(labels)):
        report.warnings.append(f"labels without training boxes are left out: {', '.join(unseen)}")
        parts = replace(parts, validation=known(parts.validation, labels), test=known(parts.test, labels))
    turns = have_no_up(seen.thumbnails)
    if turns:
        report.facts.append("Images seem to have no up or down: they are also turned for training")
    return BoxData(parts, labels, report, size=canvas_of(seen), turns=turns)


def count_labels(examples: Sequence[Example]) -> Counter[str]:
    return Counter(box["label"] for example in examples for box in example.expected)


def known(examples: Sequence[Example], labels: Sequence[str]) -> list[Example]:
    return [
        replace(example, expected=[box for box in example.expected if box["label"] in labels]) for example in examples
    ]


def describe_boxes(seen: pixels.Survey, report: DataReport) -> None:
    """Boxes outside their images, and how small the boxes are."""
    outside = []
    for example, (width, height) in zip(seen.examples, seen.sizes, strict=True):
        limits = np.array([width, height, width, height]) + 1
        if any((np.array(box["box"]) < -1).any() or (np.array(box["box"]) > limits).any() for box in example.expected):
            outside.append(example.name)
    if outside:
        names = ", ".join(outside[:LISTED]) + (", …" if len(outside) > LISTED else "")
        report.warnings.append(f"{len(outside):,} images have boxes that reach outside; they are cut: {names}")
    sides = smaller_sides(seen)
    low, middle, high = np.percentile(sides, [5, 50, 95])
    report.facts.append(
        f"Boxes: the shorter side is {middle:.0f} pixels in the middle, 90 % are between {low:.0f} and {high:.0f}"
    )


def smaller_sides(seen: pixels.Survey) -> np.ndarray:
    sides = [np.array(box["box"][2:]) - box["box"][:2] for example in seen.examples for box in example.expected]
    return np.min(sides, axis=1)


def canvas_of(seen: pixels.Survey) -> tuple[int, int]:
    """The size of the canvas, in multiples of the coarsest stride, in the shape of the middle image."""
    width, height = np.median(seen.sizes, axis=0)
    scale = LONG_SIDE / max(width, height)
    small = np.percentile(smaller_sides(seen), 10) * scale < SMALL
    scale = (LARGE_LONG_SIDE if small else LONG_SIDE) / max(width, height)
    stride = yolox.STRIDES[-1]
    sides = [int(np.ceil(side * scale / stride - 1e-6)) * stride for side in (width, height)]
    return sides[0], sides[1]


def have_no_up(thumbnails: np.ndarray) -> bool:
    """Whether upper and lower halves, and left and right ones, are equally bright on average."""
    mean = thumbnails.mean((0, 3)) / 255
    half = len(mean) // 2
    vertical, horizontal = mean[:half].mean() - mean[half:].mean(), mean[:, :half].mean() - mean[:, half:].mean()
    return bool(max(abs(vertical), abs(horizontal)) < SYMMETRY)


def candidates(session: Session, data: BoxData) -> list[Candidate]:
    if session.plan.base:
        raise RecipeError("object-detection is trained from scratch; leave --from out.")
    preprocessing = detections.letterbox(*data.size)
    canvases = detections.place_images(data.split.train, data.labels, preprocessing, session.work / "pixels.npy")
    batches = detections.AugmentedDetections(canvases, preprocessing, data.turns)
    loss = yolox_loss.of_batches(*data.size)

    def network(work: Path) -> nn.Module:
        return yolox.Yolo(len(data.labels))

    def second_network(work: Path) -> nn.Module:
        return yolox.with_new_fine_scores(yolox.Yolo(len(data.labels)), train.weights_of(work, "train"))

    def stage(name: str, epochs: int, minutes: float = 0.0) -> Stage:
        first = name == "train"
        steps = epochs * len(batches.plan(0, BATCH_SIZE, 0))
        return Stage(
            name=name,
            network=network if first else second_network,
            batches=lambda work: batches,
            loss=loss,
            score=None,
            optimiser=AdamW(learning_rate=3e-3 if first else 1.5e-3, weight_decay=0.05),
            schedule=OneCycle(warmup=0.1),
            epochs=epochs,
            batch_size=BATCH_SIZE,
            max_grad_norm=10.0,
            ema_decay=max(0.0, min(0.996 if first else 0.99, 1 - 10 / steps)),
            minutes=minutes,
        )

    epochs, minutes = session.epochs(partial(stage, "train"), MAX_EPOCHS)
    second = max(1, round(epochs * SECOND_SHARE))
    session.settings["epochs"] = epochs
    stages = (
        stage("train", max(1, epochs - second), minutes * (1 - SECOND_SHARE)),
        stage("second", second, minutes * SECOND_SHARE),
    )
    for part in stages:
        train.train(part, session.work, session.plan.seed)
    return [Candidate("detector", recipe=partial(recipe_of, session, data, canvases, preprocessing, stages))]


def recipe_of(
    session: Session,
    data: BoxData,
    canvases: detections.Canvases,
    preprocessing: ImagePreprocessing,
    stages: tuple[Stage, ...],
) -> Recipe:
    width, height = data.size

    def calibration(work: Path) -> Sequence[Batch]:
        return detections.feeds(canvases, preprocessing, step=max(1, len(canvases.pixels) // 64))

    return session.recipe(
        data,
        description=f"Detects {', '.join(data.labels[:8])} in images: a small YOLO, trained from scratch.",
        stages=stages,
        graphs={
            "main": traced(
                lambda: {"pixels": torch.randn(2, 3, height, width)}, {"pixels": {0: "batch"}}, outputs=("found",)
            )
        },
        report=sections(data),
        golden=lambda: drawn_images(width, height),
        preprocessing=preprocessing,
        quantization=session.quantization(StaticInt8(calibration, keep=yolox.FP32_NODES)),
        gate=Gate(metric=0.01, quantization_loss=0.02, bytes=2**31, difference=0.8),
        head=Detector(form="grid", strides=yolox.STRIDES),
        limits=Limits(batch=32, pixels=50_000_000),
        limitations=(f"Images are scaled to {width} x {height} pixels: objects of a few pixels there are not found.",),
    )


def sections(data: BoxData) -> Callable[[Path, Sequence[Example], Sequence[Any]], Sequence[str]]:
    return lambda work, examples, outputs: data_section(data)


def drawn_images(width: int, height: int) -> list[bytes]:
    """PNG files with discs, which are not from any data set."""
    files = []
    for seed in range(2):
        random = np.random.default_rng(seed)
        image = Image.new("RGB", (2 * width, 2 * height), (225, 215, 205))
        canvas = ImageDraw.Draw(image)
        for _ in range(9):
            x, y, radius = random.uniform(0, 2 * width), random.uniform(0, 2 * height), random.uniform(20, 90)
            colours = [tuple(int(value) for value in random.integers(60, 220, 3)) for _ in range(2)]
            canvas.ellipse((x - radius, y - radius, x + radius, y + radius), colours[0], colours[1], 5)
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        files.append(buffer.getvalue())
    return files


TRAINER = Trainer(read, candidates)
