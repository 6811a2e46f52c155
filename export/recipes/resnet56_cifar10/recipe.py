"""resnet56-cifar10: an import of the published weights of a ResNet-56, without training."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hearth.models.manifest import Limits
from hearth.models.preprocessing import ImagePreprocessing
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
OUTER_MODULES = {"conv1": "conv", "bn1": "bn", "linear": "classifier"}
"""Names of modules outside the blocks: the published ones to ours."""


def rename_weights(published: dict[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """Return the weights under the names of `networks.resnet`. Raises RecipeError for an unknown name."""
    renamed = {}
    for name, value in published.items():
        inner = re.fullmatch(r"module\.layer([123])\.(\d+)\.(.+)", name)
        outer = re.fullmatch(r"module\.(conv1|bn1|linear)\.(\w+)", name)
        if inner:
            renamed[f"blocks.{(int(inner[1]) - 1) * blocks + int(inner[2])}.{inner[3]}"] = value
        elif outer:
            renamed[f"{OUTER_MODULES[outer[1]]}.{outer[2]}"] = value
        else:
            raise RecipeError(f"{name} is not a weight of a ResNet for CIFAR-10, such as module.layer1.0.conv1.weight")
    return renamed


def network(work: Path) -> nn.Module:
    # A pickle: weights_only accepts nothing but tensors and plain values.
    checkpoint = torch.load(WEIGHTS.file(), map_location="cpu", weights_only=True)
    resnet = ResNet(BLOCKS, len(data.LABELS))
    # These weights were saved before batch norm counted its batches.
    missing, unexpected = resnet.load_state_dict(rename_weights(checkpoint["state_dict"], BLOCKS), strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise RecipeError(f"The weights do not fit ResNet-{6 * BLOCKS + 2}: {missing + unexpected}")
    return resnet.eval()


def calibration(work: Path) -> list[Batch]:
    """Return training images for measuring activation ranges."""
    images = np.load(work / "train.npz", allow_pickle=True)["pixels"]
    chosen = np.sort(np.random.default_rng(0).choice(len(images), 512, replace=False))
    pixels = torch.from_numpy(images[chosen]).permute(0, 3, 1, 2).float() / 255
    normalised = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    return [{"pixels": batch.contiguous()} for batch in normalised.split(64)]


RECIPE = Recipe(
    name="resnet56-cifar10",
    task="image-classification",
    description="Classifies small images into ten classes: ResNet-56 (0.85 M parameters) on 32 x 32 pixels.",
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
    reference="93.62 % on the original test images, according to the weights' file.",
    limitations=(
        "The accuracy was measured on strongly compressed training images, whose originals the model was trained on.",
        "Every image gets one of the ten classes; photos are resized to 32 x 32 pixels first.",
        "The data set states no licence: check before commercial use.",
    ),
)
