"""Vision models of published architectures with random weights, built once: a plain fp32 and an int8 ONNX file for the
peers, and the artifact of the same network for us.

Their speed and size are real, their outputs are not. `<work>/<name>/` is a work folder of
`hearth_build.pipeline.build`.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec import structs
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from hearth.models.heads import Detector, Head
from hearth.models.manifest import TaskId, dump
from hearth.models.preprocessing import ImagePreprocessing
from hearth_build.onnx_export import export
from hearth_build.onnx_export.export import traced
from hearth_build.pipeline import build
from hearth_build.pipeline.manifest import manifest_of
from hearth_build.recipe import Gate, Recipe, StaticInt8
from tests.benchmarks.yolov8 import YoloV8

EXAMPLES = 4
"""Number of pictures of soft colours for calibrating activations."""


def resnet(work: Path) -> Path:
    """ResNet-50 (v1.5), 25.6 million weights, 224 x 224 pixels, 1000 classes."""

    def network(folder: Path) -> nn.Module:
        from transformers import ResNetConfig, ResNetForImageClassification

        return Logits(ResNetForImageClassification(ResNetConfig(num_labels=1000)))

    return artifact(recipe("resnet-50", "image-classification", network, 224, 1000, "stretch"), work)


def yolo(work: Path) -> Path:
    """YOLOv8n: 3.2 million weights, 640 x 640 pixels, 80 classes, SiLU."""
    head = Detector(form="boxes")
    # Boxes in pixels and scores of 0 to 1 have no common scale in 8 bits, so the decoding stays in fp32.
    yolo_recipe = recipe(
        "yolov8n", "object-detection", lambda folder: YoloV8(80), 640, 80, "letterbox", head, (r"^/decode/",)
    )
    return artifact(yolo_recipe, work)


class Logits(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.network(pixels).logits
        return logits


def recipe(
    name: str,
    task: TaskId,
    network: Any,
    size: int,
    classes: int,
    resize: Any,
    head: Head | None = None,
    keep: tuple[str, ...] = (),
) -> Recipe:
    """A recipe whose network has random weights and normalised activations, as a trained one has."""

    def build_network(folder: Path) -> nn.Module:
        torch.manual_seed(0)
        built: nn.Module = network(folder)
        for module in built.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            built.train()(soft(size)[0]["pixels"])
        return built.eval()

    return Recipe(
        name=name,
        task=task,
        description="A published shape with random weights, for its speed",
        licence="Apache-2.0",
        labels=tuple(f"class {number}" for number in range(classes)),
        sources=(),
        prepare=lambda folder: None,
        stages=(),
        network=build_network,
        graphs={"main": traced(lambda: soft(size)[0], {"pixels": {0: "batch"}})},
        dev={},
        golden=lambda: [picture(size)],
        preprocessing=ImagePreprocessing(
            width=size, height=size, resize=resize, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
        ),
        quantization=StaticInt8(lambda folder: soft(size), keep=keep),
        gate=Gate(metric=0.0, quantization_loss=0.0, bytes=100_000_000),
        head=head,
    )


def soft(size: int) -> Sequence[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    colours = [4 * torch.rand((1, 3, 6, 8), generator=generator) - 2 for _ in range(EXAMPLES)]
    return [{"pixels": functional.interpolate(colour, (size, size), mode="bicubic")} for colour in colours]


def picture(size: int) -> bytes:
    """A JPEG of a photograph's proportions, whose longer edge has `size` pixels."""
    colours = np.random.default_rng(2).integers(0, 256, (6, 8, 3), np.uint8)
    file = BytesIO()
    Image.fromarray(colours).resize((size, size * 3 // 4), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def artifact(model_recipe: Recipe, work: Path) -> Path:
    """The work folder with `raw/model.onnx`, `small-main.onnx`, `picture.jpg`, `artifact/`, and `openvino/`, the
    artifact for that provider. The step `verify` is skipped because the outputs of random weights cannot be
    verified."""
    folder = work / model_recipe.name
    if not (folder / "openvino" / "manifest.json").exists():
        for step in (build.Step.PREPARE, build.Step.EXPORT, build.Step.QUANTIZE):
            build.build(model_recipe, folder, "hearth bench", step)
        (folder / "picture.jpg").write_bytes(model_recipe.golden()[0])
        export.optimise(folder / "small-main.onnx", folder / "openvino", provider="openvino")
        for provider, target in (("cpu", folder / "artifact"), ("openvino", folder / "openvino")):
            manifest = manifest_of(model_recipe, target, "", "hearth bench", 0.0)
            (target / "manifest.json").write_bytes(dump(structs.replace(manifest, provider=provider)))
    return folder
