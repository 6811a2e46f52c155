"""What a graph of pictures tells of itself, what is concluded from it, and what must be asked."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import onnx

from hearth.models.manifest import Detector, ImagePreprocessing, Tensor
from hearth_build.data.datasets import DataError
from hearth_build.onnx_export import file
from hearth_build.onnx_export.file import Contents
from hearth_build.onnx_export.rewrite import Changes, run
from hearth_build.recipe import RecipeError

STRIDES = ((8, 16, 32), (8, 16, 32, 64), (16, 32), (8, 16), (16,), (32,))
Activation = Literal["softmax", "sigmoid", "none"]
Task = Literal["image-classification", "object-detection"]
RANGES: dict[str, tuple[float, tuple[float, float, float], tuple[float, float, float]]] = {
    "raw": (1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "unit": (255.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "symmetric": (255.0, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": (255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""What pixels become, by name: the divisor, then mean and standard deviation."""


@dataclass(frozen=True)
class Flags:
    """What a user said; None: nothing."""

    task: Task
    name: str | None = None
    labels: Path | None = None
    pixels: str | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    channels: Literal["RGB", "BGR"] | None = None
    resize: Literal["stretch", "shortest-edge-center-crop", "letterbox"] | None = None
    centred: bool = False
    fill: int = 114
    size: tuple[int, int] | None = None
    layout: Literal["NCHW", "NHWC"] | None = None
    output: str | None = None
    activation: Activation | None = None
    form: Literal["grid", "boxes"] | None = None
    strides: tuple[int, ...] | None = None
    threshold: float = 0.25
    iou: float = 0.5
    calibrate: Path | None = None
    keep: tuple[str, ...] = ()
    data: Path | None = None
    licence: str = "not stated"


@dataclass
class Notes:
    guessed: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


def input_of(contents: Contents) -> Tensor:
    """The one picture. Raises RecipeError where the graph wants something else."""
    if len(contents.inputs) != 1:
        names = ", ".join(one.name for one in contents.inputs)
        raise RecipeError(f"The graph has {len(contents.inputs)} inputs ({names}); one that takes pictures is served.")
    given = contents.inputs[0]
    if len(given.shape) != 4 or given.dtype not in ("float32", "float16", "uint8"):
        raise RecipeError(f"Input {given.name} is {given.dtype} {file.shape(given)}; pictures are four axes.")
    return given


def layout_of(given: Tensor, flags: Flags, notes: Notes) -> tuple[bool, tuple[int, int]]:
    """Whether channels come last, and (width, height)."""
    last = given.shape[3] == 3 and given.shape[1] != 3
    if flags.layout:
        last = flags.layout == "NHWC"
    elif given.shape[3] == given.shape[1]:
        notes.asked.append("--layout NCHW or NHWC: the axes do not tell where the channels are")
    else:
        notes.guessed.append(f"the layout: {'NHWC' if last else 'NCHW'} (--layout)")
    if (channels := given.shape[3 if last else 1]) != 3 and isinstance(channels, int) and channels > 0:
        raise RecipeError(f"Input {given.name} has {channels} channels; pictures of 3 are served.")
    height, width = given.shape[1:3] if last else given.shape[2:4]
    if flags.size:
        if any(
            isinstance(side, int) and side not in (0, want)
            for side, want in zip((width, height), flags.size, strict=True)
        ):
            raise RecipeError(
                f"--size {flags.size[0]}x{flags.size[1]} does not fit the graph, which takes {width}x{height}."
            )
        return last, flags.size
    if isinstance(width, int) and isinstance(height, int) and width and height:
        return last, (width, height)
    notes.asked.append("--size WIDTHxHEIGHT: the graph takes any; say what it was trained on, e.g. 224x224")
    return last, (0, 0)


def labels_of(contents: Contents, flags: Flags) -> tuple[str, ...] | None:
    """From --labels, or from the note that Ultralytics leaves."""
    if flags.labels is None:
        try:
            noted = ast.literal_eval(contents.notes.get("names", ""))
        except (ValueError, SyntaxError):
            return None
        return tuple(map(str, noted.values() if isinstance(noted, dict) else noted))
    try:
        text = flags.labels.read_text(encoding="utf-8")
        if flags.labels.suffix == ".json":
            document = json.loads(text)
            if isinstance(document, dict):
                document = [document[key] for key in sorted(document, key=int)]
            return tuple(map(str, document))
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"{flags.labels} cannot be read ({error}); it must hold a name a line, or a JSON list."
        ) from None


def output_of(contents: Contents, flags: Flags, labels: Sequence[str] | None) -> Tensor:
    rank = 3 if flags.task == "object-detection" else 2
    able = [one for one in contents.outputs if len(one.shape) == rank or (rank == 2 and len(one.shape) == 4)]
    if flags.output:
        able = [one for one in contents.outputs if one.name == flags.output]
    if len(able) > 1 and labels:
        able = [one for one in able if set(one.shape) & {len(labels), len(labels) + 4, len(labels) + 5}] or able
    if len(able) == 1:
        return able[0]
    names = ", ".join(f"{one.name} {file.shape(one)}" for one in contents.outputs)
    form = "(batch, boxes, columns)" if rank == 3 else "(batch, classes)"
    wanted = f"Say which by --output NAME: {names}." if able else f"The graph has {names}."
    raise RecipeError(f"One output of {form} is needed. {wanted}")


def preprocessing_of(canvas: tuple[int, int], flags: Flags, notes: Notes) -> ImagePreprocessing | None:
    if flags.pixels is None and flags.mean is None:
        notes.asked.append(
            "--pixels raw (0..255), unit (0..1), symmetric (-1..1) or imagenet (its mean and deviation); "
            "or --mean and --std of pixels from 0 to 1"
        )
    if flags.channels is None:
        notes.asked.append("--channels RGB or BGR: RGB unless OpenCV read the training pictures")
    if flags.resize is None:
        notes.asked.append(
            "--resize stretch, shortest-edge-center-crop or letterbox: how a picture of other proportions fits"
        )
    if flags.resize is None or flags.channels is None or (flags.pixels is None and flags.mean is None):
        return None
    if flags.pixels and flags.pixels not in RANGES:
        raise RecipeError(f"--pixels is one of {', '.join(RANGES)}.")
    scale, mean, std = RANGES[flags.pixels or "unit"]
    return ImagePreprocessing(
        width=max(canvas[0], 1),
        height=max(canvas[1], 1),
        resize=flags.resize,
        mean=flags.mean or mean,
        std=flags.std or std,
        scale=scale,
        fill=flags.fill,
        centred=flags.centred,
        channels=flags.channels,
    )


def activation_of(contents: Contents, output: Tensor, flags: Flags, notes: Notes) -> Activation:
    if flags.task == "object-detection":
        return "none"
    if flags.activation:
        return flags.activation
    done = contents.last.get(output.name) in ("Softmax", "Sigmoid")
    notes.guessed.append(f"the activation: {'none, the graph ends with one' if done else 'softmax'} (--activation)")
    return "none" if done else "softmax"


def flat(changes: Changes, output: Tensor, labels: int) -> Changes:
    classes = output.shape[1]
    if isinstance(classes, int) and classes not in (0, labels):
        raise RecipeError(f"Output {output.name} has {classes} classes, --labels has {labels} names.")
    return replace(changes, flatten=len(output.shape) == 4)


def columns(changes: Changes, output: Tensor, labels: int) -> Changes:
    _, rows, last = output.shape
    wanted = (labels + 4, labels + 5)
    if last in wanted:
        return changes
    if rows in wanted:
        return replace(changes, columns_first=True)
    raise RecipeError(
        f"Output {output.name} is {file.shape(output)}; with {labels} labels one axis must be {wanted[0]} "
        f"(box, scores) or {wanted[1]} (box, objectness, scores). A graph with its own suppression is not served: "
        "export it without."
    )


def detector_of(made: onnx.ModelProto, how: ImagePreprocessing, flags: Flags, notes: Notes) -> tuple[Detector, int]:
    """The head, and the column from which on the graph answers in logits, from its answers to noise."""
    noise = np.random.default_rng(0).random((1, how.height, how.width, 3), np.float32) * 255
    pixels = (noise / how.scale - np.asarray(how.mean)) / np.asarray(how.std)
    found = run(made, pixels.transpose(0, 3, 1, 2).astype(np.float32))[0]  # (n, columns)
    logits = 4 if found[:, 4:].min() < 0 or found[:, 4:].max() > 1 else 0
    # Decoded boxes have centres all over the canvas; undecoded ones are a few cells off their own.
    spread = float(found[:, 0].max() - found[:, 0].min())
    form = flags.form
    if form is None and spread > how.width / 2:
        form = "boxes"
    elif form is None and spread < 16 and float(found[:, :4].min()) < 0:
        form = "grid"
    if form is None:
        notes.asked.append(
            "--form boxes (centre and size in pixels of the canvas) or grid (YOLOX's cells): "
            f"centres of noise lie {spread:.1f} pixels apart, which tells neither"
        )
        return Detector(form="boxes"), logits
    if flags.form is None:
        notes.guessed.append(f"the form: {form} (--form)")
    if form == "boxes":
        return Detector(form="boxes", threshold=flags.threshold, iou=flags.iou), logits
    fitting = [
        strides
        for strides in ([flags.strides] if flags.strides else STRIDES)
        if sum((how.width // stride) * (how.height // stride) for stride in strides) == len(found)
    ]
    if not fitting:
        notes.asked.append(
            f"--strides, e.g. 8,16,32: none known makes {len(found)} cells of {how.width} x {how.height}"
        )
        return Detector(form="grid"), logits
    if flags.strides is None:
        notes.guessed.append(f"the strides: {','.join(map(str, fitting[0]))} (--strides)")
    return Detector(form="grid", strides=fitting[0], threshold=flags.threshold, iou=flags.iou), logits
