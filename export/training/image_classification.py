"""image-classification from labelled images: vectors of a pretrained network, and its fine-tuning."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hearth.models.manifest import Limits
from hearth.models.preprocessing import ImagePreprocessing
from hearth_build.data import labelled_images, pixels
from hearth_build.data.images import synthetic_images
from hearth_build.data.report import DataReport, describe_parts, usable_labels
from hearth_build.data.split import duplicate_images
from hearth_build.networks import efficientnet
from hearth_build.networks.efficientnet import EfficientNetLite
from hearth_build.onnx_export.export import traced
from hearth_build.pipeline import distributed
from hearth_build.recipe import Batch, Example, OneCycle, Recipe, RecipeError, Stage, StaticInt8
from hearth_build.training import bases, linear
from hearth_build.training.candidates import Candidate, Data, Session, Trainer
from hearth_build.training.classification import (
    gate,
    linear_problem,
    loss_of,
    majority,
    make_data,
    require_learning,
    scale,
    score_of,
    sections,
    targets_of,
    temperature,
)
from hearth_build.training.fine_tuning import Preset, Training, fit, trained

SIZES = (224, 192, 160, 128, 96)
"""Sides of the input that are tried, the largest for which there is time."""
EPOCHS = 8
"""Epochs for which there should be time with the chosen size."""
PRESET = Preset(epochs=20, learning_rate=8e-4, batch_size=32, schedule=OneCycle(warmup=0.1), average=0.99)
NEIGHBOURS = 5
CALIBRATION_IMAGES = 256
MIRROR_LOSS = 0.05
"""Largest loss of accuracy on mirrored images for which mirroring is part of the augmentation."""


@dataclass(frozen=True)
class ImageData(Data):
    sides: tuple[float, float] = (0.0, 0.0)
    """Median width and height."""


@dataclass
class Arrays:
    """Decoded images and their vectors, by part."""

    preprocessing: ImagePreprocessing
    pixels: dict[str, np.ndarray]
    vectors: dict[str, np.ndarray]


def read(session: Session) -> ImageData:
    """Read, decode, check and split the images. Raises DataError."""
    plan, report = session.plan, DataReport()
    examples = usable(plan.data, plan.columns, report)
    test = usable(plan.test, plan.columns, report) if plan.test else []
    describe_parts(report, plan.data)
    seen = pixels.survey([*examples, *test], report)
    # Names of a test item may equal one of the other folder, so the two are told apart by their number.
    readable = set(map(id, seen.examples))
    examples, test = ([item for item in part if id(item) in readable] for part in (examples, test))
    data = make_data(session, examples, test, duplicate_images(seen.thumbnails), report)
    width, height = np.median(seen.sizes, axis=0)
    return ImageData(data.split, data.labels, report, several=data.several, sides=(float(width), float(height)))


def usable(path: str, columns: dict[str, str], report: DataReport) -> list[Example]:
    return usable_labels(labelled_images.read(Path(path), columns), report, path, "images")


def default_base(data: Data) -> str:
    return bases.EFFICIENTNET


def candidates(session: Session, data: ImageData) -> list[Candidate]:
    """Fit what can be served, the simplest first."""
    if session.plan.base != bases.EFFICIENTNET:
        raise RecipeError(f"--from {session.plan.base}: image-classification starts from {bases.EFFICIENTNET}.")
    size = choose_size(session, data)
    session.settings["size"] = size
    torch.manual_seed(session.plan.seed)
    network = start(len(data.labels))
    arrays = decode(session, data, network, size)
    score, curve = fit_head(network, session, data, arrays)
    results = [majority(data), neighbours(data, arrays)]
    finished = partial(recipe_of, session, data, arrays)
    recipe = partial(finished, network, "a linear model of")
    results.append(Candidate("embeddings, logistic regression", score, recipe, curve))
    return [*results, fine_tuned(session, data, arrays, network, finished)]


def start(labels: int) -> EfficientNetLite:
    """The network with the weights of ImageNet."""
    path = next((bases.package_folder(bases.EFFICIENTNET) / "models").glob("*.pth"))
    return efficientnet.load(EfficientNetLite(labels), torch.load(path, weights_only=True)).eval()


def choose_size(session: Session, data: ImageData) -> int:
    """The largest side for which there is time for EPOCHS epochs and that is not far above the images' own."""
    if "size" in session.plan.settings:
        return int(session.plan.settings["size"])
    network = start(len(data.labels)).train()
    batch = torch.randn(PRESET.batch_size, 3, SIZES[-1], SIZES[-1]).contiguous(memory_format=torch.channels_last)
    seconds = []
    for _ in range(3):
        begin = time.monotonic()
        network(batch).sum().backward()  # type: ignore[no-untyped-call]
        seconds.append(time.monotonic() - begin)
    epoch = distributed.agree(min(seconds)) * len(data.split.train) / PRESET.batch_size
    largest = max(3 * min(data.sides), SIZES[-1])
    fitting = [
        size
        for size in SIZES
        if size <= largest and epoch * (size / SIZES[-1]) ** 2 * EPOCHS < session.seconds_left() * 0.8
    ]
    return fitting[0] if fitting else SIZES[-1]


def decode(session: Session, data: ImageData, network: EfficientNetLite, size: int) -> Arrays:
    width, height = data.sides
    preprocessing = ImagePreprocessing(
        width=size,
        height=size,
        resize="stretch" if 0.8 < width / height < 1.25 else "shortest-edge-center-crop",
        resample="bicubic",
        mean=(efficientnet.MEAN,) * 3,
        std=(efficientnet.STD,) * 3,
    )
    parts = {name: getattr(data.split, name) for name in ("train", "validation")}
    decoded = {name: pixels.decode(part, preprocessing, session.work / f"{name}.npy") for name, part in parts.items()}
    return Arrays(
        preprocessing, decoded, {name: vectors(network, part, preprocessing) for name, part in decoded.items()}
    )


def vectors(network: EfficientNetLite, images: np.ndarray, preprocessing: ImagePreprocessing) -> np.ndarray:
    """The network's vector of each image, (images, FEATURES)."""
    network.eval()
    with torch.no_grad():
        parts = [
            network.embed(pixels.normalise(images[first : first + 64], preprocessing)).numpy()
            for first in range(0, len(images), 64)
        ]
    return np.concatenate(parts)


def neighbours(data: Data, arrays: Arrays) -> Candidate:
    """The labels of the most similar training images."""
    unit = {name: part / np.linalg.norm(part, axis=1, keepdims=True) for name, part in arrays.vectors.items()}
    targets = targets_of(data, data.split.train)
    votes = np.eye(len(data.labels))[targets] if targets.ndim == 1 else targets
    logits = np.empty((len(unit["validation"]), len(data.labels)))
    for index, row in enumerate(unit["validation"]):
        nearest = np.argsort(-(unit["train"] @ row))[:NEIGHBOURS]
        logits[index] = votes[nearest].mean(0) - 0.5
    return Candidate(f"{NEIGHBOURS} nearest neighbours", score_of(data, data.split.validation)(logits))


def fit_head(network: EfficientNetLite, session: Session, data: Data, arrays: Arrays) -> tuple[float, str]:
    """Fit the last layer on the vectors of the network; returns the validation score and the learning curve."""
    deviation = arrays.vectors["train"].std() or 1.0
    training, validation = (arrays.vectors[part] / deviation for part in ("train", "validation"))
    problem = linear_problem(session, data, training, validation)
    fitted = linear.fit(problem)
    factor = temperature(fitted.logits(validation), targets_of(data, data.split.validation))
    with torch.no_grad():
        network._fc.weight.copy_(torch.from_numpy(fitted.weights / deviation / factor))
        network._fc.bias.copy_(torch.from_numpy(fitted.bias / factor))
    return fitted.score, linear.learning_curve(problem, fitted)


def allows_mirrors(network: EfficientNetLite, data: Data, arrays: Arrays) -> bool:
    """Whether the linear model recognises mirrored validation images about as well."""
    accuracy = score_of(data, data.split.validation)

    def measure(images: np.ndarray) -> float:
        return accuracy(logits_of(network, images, arrays.preprocessing))

    images = arrays.pixels["validation"]
    return measure(images) - measure(images[:, :, ::-1]) < MIRROR_LOSS


def logits_of(network: nn.Module, images: np.ndarray, preprocessing: ImagePreprocessing) -> np.ndarray:
    network.eval()
    with torch.no_grad():
        parts = [
            network(pixels.normalise(images[first : first + 64], preprocessing)).numpy()
            for first in range(0, len(images), 64)
        ]
    return np.concatenate(parts)


def fine_tuned(
    session: Session, data: Data, arrays: Arrays, linear_model: EfficientNetLite, finished: Any
) -> Candidate:
    head = {name: value.clone() for name, value in linear_model.state_dict().items() if name.startswith("_fc.")}
    targets = torch.from_numpy(targets_of(data, data.split.train))
    mirrors = allows_mirrors(linear_model, data, arrays)
    batches = pixels.AugmentedImages(arrays.pixels["train"], targets, arrays.preprocessing, mirrors)
    loss, measure = loss_of(data), score_of(data, data.split.validation)

    def network(work: Path) -> nn.Module:
        network = start(len(data.labels))
        network.load_state_dict(head, strict=False)
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def batch_loss(network: nn.Module, batch: Batch) -> Tensor:
        return loss(network(batch["pixels"]), batch["labels"])

    def score(network: nn.Module, work: Path) -> dict[str, float]:
        return {
            data.metric or "accuracy": measure(logits_of(network, arrays.pixels["validation"], arrays.preprocessing))
        }

    stage = fit(session, Training(PRESET, network=network, batches=batches, loss=batch_loss, score=score))
    tuned = trained(session, stage)
    assert isinstance(tuned, EfficientNetLite)
    logits = logits_of(tuned, arrays.pixels["validation"], arrays.preprocessing)
    scale(tuned._fc, temperature(logits, targets_of(data, data.split.validation)))
    recipe = partial(finished, tuned, "fine-tuned:", stages=(stage,))
    return Candidate("fine-tuned network", measure(logits), recipe)


def recipe_of(
    session: Session, data: Data, arrays: Arrays, network: EfficientNetLite, kind: str, stages: Sequence[Stage] = ()
) -> Recipe:
    labels = ", ".join(data.labels[:5]) + (", …" if len(data.labels) > 5 else "")
    preprocessing = arrays.preprocessing

    def calibration(work: Path) -> Sequence[Batch]:
        return pixels.feeds(arrays.pixels["train"], preprocessing, CALIBRATION_IMAGES, session.plan.seed)

    return session.recipe(
        data,
        description=f"Classifies images as {labels}: {kind} {bases.title(session.plan.base)}.",
        stages=tuple(stages),
        network=lambda work: network.to(memory_format=torch.contiguous_format),  # type: ignore[call-overload]
        graphs={
            "main": traced(
                lambda: {"pixels": torch.randn(2, 3, preprocessing.height, preprocessing.width)},
                {"pixels": {0: "batch"}},
            )
        },
        report=sections(data),
        golden=synthetic_images,
        preprocessing=preprocessing,
        quantization=session.quantization(StaticInt8(calibration)),
        gate=gate(data),
        activation="sigmoid" if data.several else "softmax",
        limits=Limits(batch=32, pixels=50_000_000),
        limitations=(
            "Every image gets one of the labels, also one that shows none of them.",
            f"Images are resized to {preprocessing.width} x {preprocessing.height} pixels.",
            "The candidate and the best epoch were chosen by the validation examples.",
        ),
    )


TRAINER = Trainer(read, candidates, default_base, require_learning)
