"""resnet56-cifar10: published weights of a ResNet-56, imported; nothing is trained here."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hearth.models.manifest import ImagePreprocessing, Limits
from hearth_build.data.datasets import Source
from hearth_build.data.images import synthetic_images
from hearth_build.networks.resnet import ResNet
from hearth_build.onnx_export.export import traced
from hearth_build.recipe import Batch, Gate, Recipe, RecipeError, StaticInt8
from hearth_build.recipes.resnet20_cifar10 import data

BLOCKS = 9
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
WEIGHTS = Source(
    path="weights/resnet_cifar10/resnet56-4bfd9763.th",
    title="ResNet-56 weights for CIFAR-10 by Yerlan Idelbayev",
    published="https://github.com/akamaster/pytorch_resnet_cifar10",
    licence="BSD-2-Clause",
    sha256="4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367",
)
PARTS = {"conv1": "conv", "bn1": "bn", "linear": "classifier"}


def translated(published: dict[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """The weights under our names. Raises RecipeError at a name that is not such a network's."""
    found = {}
    for name, value in published.items():
        inner = re.fullmatch(r"module\.layer([123])\.(\d+)\.(.+)", name)
        outer = re.fullmatch(r"module\.(conv1|bn1|linear)\.(\w+)", name)
        if inner:
            found[f"blocks.{(int(inner[1]) - 1) * blocks + int(inner[2])}.{inner[3]}"] = value
        elif outer:
            found[f"{PARTS[outer[1]]}.{outer[2]}"] = value
        else:
            raise RecipeError(f"{name} belongs to no ResNet for CIFAR-10: names like module.layer1.0.conv1.weight do")
    return found


def network(work: Path) -> nn.Module:
    # A pickle, of which weights_only lets nothing but tensors and plain values through.
    stored = torch.load(WEIGHTS.file(), map_location="cpu", weights_only=True)
    made = ResNet(BLOCKS, len(data.LABELS))
    # These weights were saved before batch norm counted its batches.
    missing, unexpected = made.load_state_dict(translated(stored["state_dict"], BLOCKS), strict=False)
    lost = [name for name in missing if not name.endswith("num_batches_tracked")]
    if lost or unexpected:
        raise RecipeError(f"The weights do not fit ResNet-{6 * BLOCKS + 2}: {lost + unexpected}")
    return made.eval()


def calibration(work: Path) -> list[Batch]:
    """Training pictures for measuring activation ranges."""
    stored = np.load(work / "train.npz", allow_pickle=True)["pixels"]
    chosen = np.sort(np.random.default_rng(0).choice(len(stored), 512, replace=False))
    pixels = torch.from_numpy(stored[chosen]).permute(0, 3, 1, 2).float() / 255
    normalised = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    return [{"pixels": part.contiguous()} for part in normalised.split(64)]


RECIPE = Recipe(
    name="resnet56-cifar10",
    task="image-classification",
    description="What a small picture shows, of ten classes: ResNet-56 (0.85 M parameters) on 32 x 32 pixels.",
    licence="BSD-2-Clause",
    labels=data.LABELS,
    sources=(WEIGHTS, data.SOURCE),
    prepare=data.prepare,
    stages=(),
    network=network,
    graphs={"main": traced(lambda: {"pixels": torch.randn(2, 3, 32, 32)}, {"pixels": {0: "batch"}})},
    dev={"CIFAR-10 tenth": data.dev},
    golden=synthetic_images,
    preprocessing=ImagePreprocessing(width=32, height=32, resize="stretch", mean=MEAN, std=STD),
    quantization=StaticInt8(calibration),
    gate=Gate(metric=0.8, quantization_loss=0.01, bytes=4_000_000),
    limits=Limits(batch=64, pixels=50_000_000),
    parents=("pytorch_resnet_cifar10 resnet56-4bfd9763",),
    reference="93.62 % on the original test pixels, as the weights' file says.",
    limitations=(
        "The accuracy is of training pictures, strongly compressed: the weights have seen their originals.",
        "Any picture gets one of the ten classes; photos are squeezed to 32 x 32 pixels first.",
        "The data set states no licence: check before commercial use.",
    ),
)
