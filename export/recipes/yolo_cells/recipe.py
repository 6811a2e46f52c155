"""yolo-cells: a small anchor-free detector from scratch on BCCD's blood cells."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from hearth.models.manifest import Detector, ImagePreprocessing, Limits
from hearth_build.networks import yolox, yolox_loss
from hearth_build.onnx_export.export import traced
from hearth_build.pipeline.train import weights_of
from hearth_build.recipe import AdamW, Batch, Gate, OneCycle, Recipe, Stage, StaticInt8
from hearth_build.recipes.yolo_cells import data

CELLS, STEPS = yolox.grid(data.WIDTH, data.HEIGHT)


def network(work: Path) -> nn.Module:
    return yolox.Yolo(len(data.LABELS))


def second(work: Path) -> nn.Module:
    """The first stage's network, but for the scores of its finest level.

    Those die there: their loss is large while hardly any cell has a box, so every ReLU before them comes to rest, and
    small platelets all score alike. On features that are trained already they learn without that.
    """
    made = yolox.Yolo(len(data.LABELS))
    fresh = made.heads[0].score.state_dict(prefix="heads.0.score.")
    made.load_state_dict({**weights_of(work, "train"), **fresh})
    return made


def loss(network: nn.Module, batch: Batch) -> Tensor:
    assert isinstance(network, yolox.Yolo)
    boxes, logits = network.raw(batch["pixels"])
    truth = yolox_loss.GroundTruth(batch["boxes"], batch["classes"], batch["real"])
    return yolox_loss.loss(yolox.decode(boxes, CELLS, STEPS), logits, (CELLS + 0.5) * STEPS, truth)


RECIPE = Recipe(
    name="yolo-cells",
    task="object-detection",
    description="Where red cells, white cells and platelets lie in a picture of stained blood: a small YOLO.",
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
            score=None,
            optimiser=AdamW(rate=3e-3, weight_decay=0.05),
            schedule=OneCycle(warmup=0.1),
            epochs=80,
            batch=8,
            clip=10.0,
            average=0.996,
        ),
        Stage(
            name="second",
            network=second,
            batches=data.training,
            loss=loss,
            score=None,
            optimiser=AdamW(rate=1.5e-3, weight_decay=0.05),
            schedule=OneCycle(warmup=0.1),
            epochs=30,
            batch=8,
            clip=10.0,
            average=0.99,
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
    preprocessing=ImagePreprocessing(
        width=data.WIDTH, height=data.HEIGHT, resize="letterbox", mean=data.MEAN, std=data.STD, fill=data.FILL
    ),
    # The last convolutions answer in cells and logits, whose ranges differ too much for one int8 scale,
    # and so does what joins them.
    quantization=StaticInt8(
        data.calibration,
        keep=(r"^/heads\.\d/(box/box|score/score)\.1/", r"^/heads\.\d/Reshape", r"^/(Concat|Transpose|Sigmoid)"),
    ),
    gate=Gate(metric=0.85, quantization_loss=0.01, bytes=4_000_000),
    head=Detector(form="grid", strides=yolox.STRIDES),
    limits=Limits(batch=32, pixels=50_000_000),
    reference="YOLO-family detectors on BCCD: mAP@0.5 of about 0.85 to 0.93.",
    limitations=(
        "Pictures as BCCD's: one stain, one magnification, cells of 40 to 340 pixels in 640 x 480.",
        "BCCD leaves some cells unlabelled; what is counted as a false find is at times a cell.",
        "The last weights are kept, whatever they score. The val pictures were measured after the first stage alone "
        "(AP50 0.735, platelets 0.37); the second one was added for that, its cause found on training pictures.",
        "No medical device: for trying out only.",
    ),
)
