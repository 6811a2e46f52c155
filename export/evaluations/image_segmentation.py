"""image-segmentation: mean IoU and pixel accuracy on pictures with label maps."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hearth_build.data.datasets import DataError
from hearth_build.data.files import visible
from hearth_build.data.images import SUFFIXES
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.image_segmentation import app

DATA_FORMAT = (
    "a folder of pictures, each with a .png of the same name in its folder `masks` whose pixels are the numbers of the "
    "model's labels; 255 is not counted"
)
IGNORED = 255


def read(path: Path) -> list[Example]:
    if not path.is_dir():
        raise DataError(f"{path} must be {DATA_FORMAT}.")
    examples = []
    for file in sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and visible([file.name])):
        mask = path / "masks" / f"{file.stem}.png"
        if not mask.is_file():
            raise DataError(f"{file} has no {mask}; the evaluation reads {DATA_FORMAT}.")
        examples.append(Example(file.read_bytes(), mask.read_bytes(), file.name))
    return examples


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    labels = len(model.manifest.labels)
    shared = np.zeros(labels)
    either = np.zeros(labels)
    correct = counted = 0
    for example in examples:
        expected = np.asarray(Image.open(io.BytesIO(example.expected)))
        predicted = class_map(model, example.inputs)
        if expected.shape != predicted.shape:
            raise DataError(f"A mask has the size {expected.shape}, its picture {predicted.shape}; {DATA_FORMAT}.")
        valid = expected != IGNORED
        for number in range(labels):
            first, second = (expected == number) & valid, (predicted == number) & valid
            shared[number] += np.count_nonzero(first & second)
            either[number] += np.count_nonzero(first | second)
        correct += np.count_nonzero((expected == predicted) & valid)
        counted += np.count_nonzero(valid)
    present = either > 0
    return {"mIoU": float((shared[present] / either[present]).mean()), "pixel accuracy": correct / max(counted, 1)}


def class_map(model: Any, picture: bytes) -> np.ndarray:
    """The number of the label of each pixel, (height, width)."""
    classes: np.ndarray | None = None
    for segment in app.predict(model, app.Request(picture)).output:
        mask = np.asarray(Image.open(io.BytesIO(segment.mask))) > 0
        classes = np.zeros(mask.shape, np.int64) if classes is None else classes
        classes[mask] = model.manifest.labels.index(segment.label)
    assert classes is not None  # every pixel has a label
    return classes


def predict(model: Any, inputs: bytes) -> dict[str, float]:
    """The share of the picture that each label covers."""
    return {segment.label: segment.share for segment in app.predict(model, app.Request(inputs)).output}


def difference(first: dict[str, float], second: dict[str, float]) -> float:
    return max(abs(first.get(label, 0.0) - second.get(label, 0.0)) for label in first | second)


def summarize(answer: dict[str, float]) -> str:
    return max(answer, key=lambda label: answer[label])


EVALUATION = Evaluation("mIoU", True, DATA_FORMAT, read, measure, predict, difference, summarize)
