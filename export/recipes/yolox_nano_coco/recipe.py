"""yolox-nano-coco: an import of a published ONNX file, without training."""

from __future__ import annotations

from pathlib import Path

import onnx
from torch import Tensor, nn

from hearth.models.heads import Detector
from hearth.models.manifest import Limits
from hearth.models.preprocessing import ImagePreprocessing
from hearth_build.data.boxes import read_coco
from hearth_build.data.datasets import Source
from hearth_build.data.files import content
from hearth_build.data.images import calibration_feeds, synthetic_images
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
IMAGES = Source(
    path="object_detection/coco_ccby_train/instances_train2017_ccby.json",
    title="COCO 2017, 13 training images under CC BY and BY-SA",
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
PREPROCESSING = ImagePreprocessing(
    width=SIDE,
    height=SIDE,
    resize="letterbox",
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    scale=1.0,
    fill=114,
    channels="BGR",
)

FP32_NODES = (
    # The first convolutions see raw pixels: in int8 they alone reduce AP by 0.25.
    r"_(\d|[1-3]\d|4[0-6])$",
    # The ranges of the last convolutions' outputs, offsets and logits, differ too much for one int8 scale. The same
    # holds for the nodes that concatenate them.
    r"^Conv_(314|327|328|347|360|361|380|393|394)$",
    r"^(Concat|Sigmoid)_(329|330|331|362|363|364|395|396|397|422)$",
    r"^(Reshape|Transpose)_|Identity",
)
"""Regular expressions of the names of nodes that stay in fp32."""


def write(network: nn.Module | None, path: Path) -> None:
    onnx.save(adapt(file.load(WEIGHTS.file()), Changes("images", "output", (SIDE, SIDE))), str(path))


def dev(work: Path) -> list[Example]:
    return read_coco(IMAGES.file())


def calibration(work: Path) -> list[dict[str, Tensor]]:
    """Return the inputs of `dev`, as no other images are available. Calibration does not use their boxes."""
    return calibration_feeds([content(example.inputs) for example in dev(work)], PREPROCESSING, "pixels", batch_size=1)


RECIPE = Recipe(
    name="yolox-nano-coco",
    task="object-detection",
    description="Detects objects of COCO's 80 classes in photos: YOLOX-Nano (0.9 M parameters) on 416 x 416 pixels.",
    licence="Apache-2.0",
    labels=LABELS,
    sources=(WEIGHTS, IMAGES),
    prepare=lambda work: None,
    stages=(),
    graphs={"main": write},
    dev={"13 COCO pictures": dev},
    golden=synthetic_images,
    preprocessing=PREPROCESSING,
    quantization=StaticInt8(calibration, keep=FP32_NODES),
    gate=Gate(metric=0.4, quantization_loss=0.02, bytes=5_000_000),
    head=Detector(form="grid", strides=STRIDES, threshold=0.3, iou=0.5),
    limits=Limits(batch=32, pixels=50_000_000),
    parents=("YOLOX-Nano, https://github.com/Megvii-BaseDetection/YOLOX",),
    reference="AP 25.8 on COCO val2017 (published by the project for 416 x 416).",
    limitations=(
        "Measured and calibrated on the same 13 images of its training data: this checks the import and the "
        "quantization, not the quality of the model.",
        "The layers that stay in fp32 were selected on the same images.",
        "One image per run: the batch is fixed.",
    ),
)
