"""yolox-nano-coco: a published ONNX file, imported; nothing is trained here."""

from __future__ import annotations

from pathlib import Path

import onnx
from torch import Tensor, nn

from hearth.models.manifest import Detector, ImagePreprocessing, Limits
from hearth_build.data.datasets import Source
from hearth_build.data.images import feeds, synthetic
from hearth_build.evaluations.object_detection import read_coco
from hearth_build.onnx_export import file
from hearth_build.onnx_export.rewrite import Changes, adapt
from hearth_build.recipe import Example, Gate, Recipe, StaticInt8

SIDE = 416
STRIDES = (8, 16, 32)
WEIGHTS = Source(
    path="weights/yolox_nano_coco/yolox_nano.onnx",
    title="YOLOX-Nano, COCO",
    published="https://github.com/Megvii-BaseDetection/YOLOX",
    licence="Apache-2.0",
    sha256="695e750a5d5754bb5a8d5325643b59282191a7e7a564e435a415fd3c578eab14",
)
PICTURES = Source(
    path="object_detection/coco_ccby_train/instances_train2017_ccby.json",
    title="COCO 2017, 13 training pictures under CC BY and BY-SA",
    published="https://cocodataset.org",
    licence="annotations CC BY 4.0, photos per entry",
    sha256="b574fd05b9515cc87c0189a6413cf78fb8c6ad19b6aaa34ee85141d849a14171",
)
LABELS = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
    *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
    *("elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone"),
    *("microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear"),
    *("hair drier", "toothbrush"),
)
HOW = ImagePreprocessing(
    width=SIDE,
    height=SIDE,
    resize="letterbox",
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    scale=1.0,
    fill=114,
    channels="BGR",
)

KEPT = (
    # The first convolutions see raw pixels: in int8 they alone cost 0.25 of AP.
    r"_(\d|[1-3]\d|4[0-6])$",
    # The last ones answer in cells and logits, whose ranges differ too much for one int8 scale, and so does what
    # joins them.
    r"^Conv_(314|327|328|347|360|361|380|393|394)$",
    r"^(Concat|Sigmoid)_(329|330|331|362|363|364|395|396|397|422)$",
    r"^(Reshape|Transpose)_|Identity",
)
"""Nodes that stay in fp32."""


def write(network: nn.Module | None, path: Path) -> None:
    onnx.save(adapt(file.load(WEIGHTS.file()), Changes("images", "output", (SIDE, SIDE))), str(path))


def dev(work: Path) -> list[Example]:
    return read_coco(PICTURES.file())


def calibration(work: Path) -> list[dict[str, Tensor]]:
    """The same few pictures: there are no others. Ranges see no box."""
    return feeds([example.inputs for example in dev(work)], HOW, "pixels", batch=1)


RECIPE = Recipe(
    name="yolox-nano-coco",
    task="object-detection",
    description="What is where in a photo, of COCO's 80 kinds: YOLOX-Nano (0.9 M parameters) on 416 x 416 pixels.",
    licence="Apache-2.0",
    labels=LABELS,
    sources=(WEIGHTS, PICTURES),
    prepare=lambda work: None,
    stages=(),
    graphs={"main": write},
    dev={"13 COCO pictures": dev},
    golden=synthetic,
    preprocessing=HOW,
    quantization=StaticInt8(calibration, keep=KEPT),
    gate=Gate(metric=0.4, quantization_loss=0.02, bytes=5_000_000),
    head=Detector(form="grid", strides=STRIDES, threshold=0.3, iou=0.5),
    limits=Limits(batch=32, pixels=50_000_000),
    parents=("YOLOX-Nano, https://github.com/Megvii-BaseDetection/YOLOX",),
    reference="AP 25.8 on COCO val2017 (the project's own figure for 416 x 416).",
    limitations=(
        "Measured on 13 training pictures, which it has seen, and calibrated on the same: a check of the import and "
        "of int8, no measure of its worth.",
        "Which layers stay in fp32 was chosen on the same pictures.",
        "One picture a run: its batch is fixed.",
    ),
)
