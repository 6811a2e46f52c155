"""yolo-cells: a small anchor-free detector, trained from scratch on BCCD's blood cells."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from hearth.models.heads import Detector
from hearth.models.manifest import Limits
from hearth_build.networks import yolox, yolox_loss
from hearth_build.onnx_export.export import traced
from hearth_build.pipeline.train import weights_of
from hearth_build.recipe import AdamW, Gate, OneCycle, Recipe, Stage, StaticInt8
from hearth_build.recipes.yolo_cells import data


def network(work: Path) -> nn.Module:
    return yolox.Yolo(len(data.LABELS))


def second_network(work: Path) -> nn.Module:
    return yolox.with_new_fine_scores(yolox.Yolo(len(data.LABELS)), weights_of(work, "train"))


RECIPE = Recipe(
    name="yolo-cells",
    task="object-detection",
    description="Detects red cells, white cells and platelets in images of stained blood: a small YOLO.",
    licence="Apache-2.0",
    labels=data.LABELS,
    sources=(data.SOURCE,),
    prepare=data.prepare,
    stages=(
        Stage(
            name="train",
            network=network,
            batches=data.training,
            loss=yolox_loss.of_batches(data.WIDTH, data.HEIGHT),
            score=None,
            optimiser=AdamW(learning_rate=3e-3, weight_decay=0.05),
            schedule=OneCycle(warmup=0.1),
            epochs=80,
            batch_size=8,
            max_grad_norm=10.0,
            ema_decay=0.996,
        ),
        Stage(
            name="second",
            network=second_network,
            batches=data.training,
            loss=yolox_loss.of_batches(data.WIDTH, data.HEIGHT),
            score=None,
            optimiser=AdamW(learning_rate=1.5e-3, weight_decay=0.05),
            schedule=OneCycle(warmup=0.1),
            epochs=30,
            batch_size=8,
            max_grad_norm=10.0,
            ema_decay=0.99,
        ),
    ),
    graphs={
        "main": traced(
            lambda: {"pixels": torch.randn(2, 3, data.HEIGHT, data.WIDTH)},
            {"pixels": {0: "batch"}},
            outputs=("found",),
        )
    },
    dev={"BCCD val": data.dev},
    golden=data.synthetic,
    preprocessing=data.PREPROCESSING,
    quantization=StaticInt8(data.calibration, keep=yolox.FP32_NODES),
    gate=Gate(metric=0.85, quantization_loss=0.01, bytes=4_000_000),
    head=Detector(form="grid", strides=yolox.STRIDES),
    limits=Limits(batch=32, pixels=50_000_000),
    reference="YOLO-family detectors on BCCD: mAP@0.5 of about 0.85 to 0.93.",
    limitations=(
        "For images like BCCD's only: one stain, one magnification, cells of 40 to 340 pixels in 640 x 480.",
        "BCCD leaves some cells unlabelled, so some detections that count as false positives are cells.",
        "The weights of the last epoch are used. The second stage was added after a measurement on val (AP50 0.735, "
        "platelets 0.37 after the first stage); the cause was found on training images.",
        "Not a medical device: for demonstration only.",
    ),
)
