"""Vision models of published shapes with random weights, each made once: a plain fp32 and an int8 ONNX file for the
peers, and the artifact of the same network for us.

Their speed and size are real, their answers are not. `<work>/<name>/` is a work folder of `hearth_build.pipeline.build`.
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

from hearth.models.manifest import Detector, Head, ImagePreprocessing, TaskId, dump
from hearth_build.onnx_export import export
from hearth_build.onnx_export.export import traced
from hearth_build.pipeline import build
from hearth_build.pipeline.verify import manifest_of
from hearth_build.recipe import Gate, Recipe, StaticInt8
from tests.benchmarks.yolov8 import YoloV8

EXAMPLES = 4
"""Pictures of soft colours that activations are measured on."""


def resnet(work: Path) -> Path:
    """ResNet-50 (v1.5), 25.6 million weights, 224 x 224 pixels, 1000 classes."""

    def network(folder: Path) -> nn.Module:
        from transformers import ResNetConfig, ResNetForImageClassification

        return Logits(ResNetForImageClassification(ResNetConfig(num_labels=1000)))

    return artifact(recipe("resnet-50", "image-classification", network, 224, 1000, "stretch"), work)


def yolo(work: Path) -> Path:
    """YOLOv8n: 3.2 million weights, 640 x 640 pixels, 80 classes, SiLU."""
    head = Detector(form="boxes")
    # Boxes in pixels and scores of 0 to 1 have no common scale in 8 bits: what decodes them stays in fp32.
    made = recipe("yolov8n", "object-detection", lambda folder: YoloV8(80), 640, 80, "letterbox", head, (r"^/decode/",))
    return artifact(made, work)


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
    """A recipe whose network is random: one that gives each layer's outcome the spread that a trained one has."""

    def settled(folder: Path) -> nn.Module:
        torch.manual_seed(0)
        made: nn.Module = network(folder)
        for module in made.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            made.train()(soft(size)[0]["pixels"])
        return made.eval()

    return Recipe(
        name=name,
        task=task,
        description="A published shape with random weights, for its speed",
        licence="Apache-2.0",
        labels=tuple(f"class {number}" for number in range(classes)),
        sources=(),
        prepare=lambda folder: None,
        stages=(),
        network=settled,
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
    return [{"pixels": functional.interpolate(one, (size, size), mode="bicubic")} for one in colours]


def picture(size: int) -> bytes:
    """A JPEG of a photograph's proportions, whose longer edge has `size` pixels."""
    colours = np.random.default_rng(2).integers(0, 256, (6, 8, 3), np.uint8)
    file = BytesIO()
    Image.fromarray(colours).resize((size, size * 3 // 4), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def artifact(made: Recipe, work: Path) -> Path:
    """The work folder with `raw/model.onnx`, `small-main.onnx`, `picture.jpg`, `artifact/`, and `openvino/`, one for
    that provider. The step `verify` is left out, for random weights say nothing that could be verified."""
    folder = work / made.name
    if not (folder / "openvino" / "manifest.json").exists():
        for step in (build.Step.PREPARE, build.Step.EXPORT, build.Step.QUANTIZE):
            build.build(made, folder, "hearth bench", step)
        (folder / "picture.jpg").write_bytes(made.golden()[0])
        export.optimise(folder / "small-main.onnx", folder / "openvino", provider="openvino")
        for provider, place in (("cpu", folder / "artifact"), ("openvino", folder / "openvino")):
            described = manifest_of(made, place, "", "hearth bench", 0.0)
            (place / "manifest.json").write_bytes(dump(structs.replace(described, provider=provider)))
    return folder
