"""efficientnet-lite0-imagenet: an import of EfficientNet-Lite0 in int8, without training."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hearth.models.manifest import Limits
from hearth.models.preprocessing import ImagePreprocessing
from hearth.ops.vision.images import open_image
from hearth_build.data.boxes import read_coco
from hearth_build.data.files import content
from hearth_build.data.images import MAX_PIXELS, calibration_feeds, synthetic_images
from hearth_build.networks.efficientnet import MEAN, STD
from hearth_build.onnx_export.export import traced
from hearth_build.recipe import Example, Gate, Recipe, StaticInt8
from hearth_build.recipes.yolox_nano_coco.recipe import IMAGES
from hearth_build.training import bases
from hearth_build.training.image_classification import start

SIDE = 224
LABELS = tuple(Path(__file__).with_name("labels.txt").read_text(encoding="utf-8").splitlines())
PREPROCESSING = ImagePreprocessing(
    width=SIDE,
    height=SIDE,
    resize="shortest-edge-center-crop",
    before_crop=(256,),
    resample="bicubic",
    mean=(MEAN,) * 3,
    std=(STD,) * 3,
)
FP32_NODES = (r"_conv_stem|_blocks\.[0-2]/|ReduceMean",)
"""Regular expressions of names of nodes that stay in fp32: without them 23 % of the labels differ, with them 13 %."""
CROPS = 32
"""Of each photo, half of them to calibrate with and half to measure with."""
SMALLEST = 96
"""Side of the smallest crop, in pixels."""


def network(work: Path) -> nn.Module:
    return start(len(LABELS))


def crops(half: int) -> list[bytes]:
    """PNG files: parts of the photos, which show more kinds of things than whole photos. `half` is 0 or 1."""
    generator = np.random.default_rng(1)
    files = []
    for example in read_coco(IMAGES.file()):
        image = open_image(content(example.inputs), MAX_PIXELS).convert("RGB")
        for number in range(CROPS):
            side = int(generator.integers(SMALLEST, min(image.size) + 1))
            left, top = (int(generator.integers(0, edge - side + 1)) for edge in image.size)
            buffer = io.BytesIO()
            image.crop((left, top, left + side, top + side)).save(buffer, "PNG", compress_level=1)
            files += [buffer.getvalue()] if number % 2 == half else []
    return files


def calibration(work: Path) -> list[dict[str, Tensor]]:
    return calibration_feeds(crops(0), PREPROCESSING, "pixels")


def dev(work: Path) -> list[Example]:
    """Crops, with the label that the network in fp32 gives: no images of ImageNet are at hand."""
    files = crops(1)
    feeds = calibration_feeds(files, PREPROCESSING, "pixels", CROPS // 2)
    full = network(work)
    with torch.no_grad():
        best = torch.cat([full(torch.from_numpy(feed["pixels"])).argmax(1) for feed in feeds])
    return [Example(file, LABELS[index]) for file, index in zip(files, best.tolist(), strict=True)]


RECIPE = Recipe(
    name="efficientnet-lite0-imagenet",
    task="image-classification",
    description="Names what a photo shows, among ImageNet's 1,000 classes: EfficientNet-Lite0 (4.7 M parameters).",
    licence="Apache-2.0",
    labels=LABELS,
    sources=(IMAGES,),
    prepare=lambda work: None,
    stages=(),
    network=network,
    graphs={"main": traced(lambda: {"pixels": torch.rand(1, 3, SIDE, SIDE)}, {"pixels": {0: "batch"}})},
    dev={"parts of COCO photos, labelled by the network in fp32": dev},
    golden=synthetic_images,
    preprocessing=PREPROCESSING,
    quantization=StaticInt8(calibration, keep=FP32_NODES),
    gate=Gate(metric=0.85, quantization_loss=0.15, bytes=7_000_000),
    limits=Limits(batch=32, pixels=50_000_000),
    parents=(bases.title(bases.EFFICIENTNET),),
    reference="Top-1 accuracy of 75.5 % on ImageNet (published by its authors).",
    limitations=(
        "The accuracy above is the share of equal labels before and after quantization; the quality of the model was "
        "not measured, for want of images of ImageNet.",
        "A photo of something else gets one of the 1,000 labels all the same.",
    ),
)
