"""resnet20-cifar10: ResNet-20, trained from scratch on CIFAR-10 as JPEG files."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from hearth.models.manifest import Limits
from hearth.models.preprocessing import ImagePreprocessing
from hearth_build.data.images import synthetic_images
from hearth_build.networks.resnet import ResNet
from hearth_build.onnx_export.export import traced
from hearth_build.recipe import SGD, Batch, Gate, OneCycle, Recipe, Stage, StaticInt8
from hearth_build.recipes.resnet20_cifar10 import data
from hearth_build.recipes.resnet20_cifar10.network import FlipAveraged


def network(work: Path) -> nn.Module:
    return FlipAveraged(ResNet(3, len(data.LABELS)))


def loss(network: nn.Module, batch: Batch) -> Tensor:
    # Mirroring is part of the augmentation, so training needs only one of the two passes.
    assert isinstance(network, FlipAveraged)
    return functional.cross_entropy(network.network(batch["pixels"]), batch["labels"])


def score(network: nn.Module, work: Path) -> dict[str, float]:
    pixels, labels = data.dev_tensors(work)
    predictions = torch.cat([network(batch).argmax(1) for batch in pixels.split(500)])
    return {"accuracy": (predictions == labels).double().mean().item()}


RECIPE = Recipe(
    name="resnet20-cifar10",
    task="image-classification",
    description="Classifies small images into ten classes: ResNet-20 (0.27 M parameters) on 32 x 32 pixels.",
    licence="Apache-2.0",
    labels=data.LABELS,
    sources=(data.SOURCE,),
    prepare=data.prepare,
    stages=(
        Stage(
            name="train",
            network=network,
            batches=data.training,
            loss=loss,
            score=score,
            optimiser=SGD(learning_rate=0.4, weight_decay=5e-4),
            schedule=OneCycle(warmup=0.2),
            epochs=36,
            batch_size=128,
            ema_decay=0.998,
        ),
    ),
    graphs={
        "main": traced(
            lambda: {"pixels": torch.randn(2, 3, 32, 32)},
            {"pixels": {0: "batch"}},
        )
    },
    dev={"CIFAR-10 held-out tenth": data.dev},
    golden=synthetic_images,
    preprocessing=ImagePreprocessing(width=32, height=32, resize="stretch", mean=data.MEAN, std=data.STD),
    quantization=StaticInt8(data.calibration),
    gate=Gate(metric=0.88, quantization_loss=0.01, bytes=2_000_000),
    limits=Limits(batch=64, pixels=50_000_000),
    reference="91.25 % on the original images (He et al. 2015); those weights reach about 81 % on these JPEG files.",
    limitations=(
        "Every image gets one of the ten classes; photos are resized to 32 x 32 pixels first.",
        "The data set states no licence: check before commercial use.",
        "The best epoch was selected on the same held-out images, so the accuracy is slightly too high.",
        "The exported graph averages the logits of the image and of its mirror image, which doubles its cost.",
    ),
)
