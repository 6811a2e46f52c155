"""Infers how to serve an image graph, and which flags the user must add because the graph does not say."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import onnx

from hearth.models.heads import Detector
from hearth.models.manifest import Tensor
from hearth.models.preprocessing import ImagePreprocessing
from hearth_build.importing.base import ImportOptions, Notes
from hearth_build.importing.labels import read_names
from hearth_build.importing.selected_boxes import SIZES
from hearth_build.onnx_export import file
from hearth_build.onnx_export.file import GraphInfo
from hearth_build.onnx_export.rewrite import Changes, run
from hearth_build.recipe import RecipeError

MASK_COEFFICIENTS = 32
KNOWN_STRIDES = ((8, 16, 32), (8, 16, 32, 64), (16, 32), (8, 16), (16,), (32,))
ROUNDING = 0.01
"""Error of a sum of probabilities, which are float16 in some graphs."""
Activation = Literal["softmax", "sigmoid", "none"]
RANGES: dict[str, tuple[float, tuple[float, float, float], tuple[float, float, float]]] = {
    "raw": (1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "unit": (255.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "symmetric": (255.0, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": (255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Normalisations of pixels by name: the divisor, then mean and standard deviation."""


def input_of(graph: GraphInfo) -> Tensor:
    """Return the input for images. Raises RecipeError if the graph has other inputs."""
    inputs = [tensor for tensor in graph.inputs if tensor.name not in SIZES]
    if len(inputs) != 1:
        names = ", ".join(tensor.name for tensor in inputs)
        raise RecipeError(
            f"The graph has {len(inputs)} inputs ({names}); it must have one, which takes images. To call it by its "
            "tensors, use --task tensors."
        )
    pixels = inputs[0]
    if len(pixels.shape) != 4 or pixels.dtype not in ("float32", "float16", "uint8"):
        raise RecipeError(
            f"Input {pixels.name} is {pixels.dtype} {file.shape(pixels)}; images have four dimensions in float32, "
            "float16 or uint8."
        )
    return pixels


def layout_of(pixels: Tensor, options: ImportOptions, notes: Notes) -> tuple[bool, tuple[int, int]]:
    """Return whether channels come last, and (width, height)."""
    channels_last = pixels.shape[3] == 3 and pixels.shape[1] != 3
    if options.layout:
        channels_last = options.layout == "NHWC"
    elif pixels.shape[3] == pixels.shape[1]:
        notes.missing.append("--layout NCHW or NHWC: the shape does not show which dimension has the channels")
    else:
        notes.guesses.append(f"the layout: {'NHWC' if channels_last else 'NCHW'} (--layout)")
    if (channels := pixels.shape[3 if channels_last else 1]) != 3 and isinstance(channels, int) and channels > 0:
        raise RecipeError(f"Input {pixels.name} has {channels} channels; only images of 3 channels are supported.")
    height, width = pixels.shape[1:3] if channels_last else pixels.shape[2:4]
    if options.size:
        if any(
            isinstance(side, int) and side not in (0, requested)
            for side, requested in zip((width, height), options.size, strict=True)
        ):
            raise RecipeError(
                f"--size {options.size[0]}x{options.size[1]} does not fit the graph, which takes {width}x{height}."
            )
        return channels_last, options.size
    if isinstance(width, int) and isinstance(height, int) and width and height:
        return channels_last, (width, height)
    notes.missing.append("--size WIDTHxHEIGHT: the graph accepts any size; give the one of its training, e.g. 224x224")
    return channels_last, (0, 0)


def labels_of(graph: GraphInfo, options: ImportOptions) -> tuple[str, ...] | None:
    """Return the labels of --labels, or of the metadata that Ultralytics writes; None if there are none."""
    if options.labels is None:
        try:
            names = ast.literal_eval(graph.metadata.get("names", ""))
        except (ValueError, SyntaxError):
            return None
        return tuple(map(str, names.values() if isinstance(names, dict) else names))
    return tuple(read_names(str(options.labels)))


def output_of(graph: GraphInfo, options: ImportOptions, labels: Sequence[str] | None) -> Tensor:
    """Return the output to read. Raises RecipeError if none or several are suitable."""
    if options.output:
        candidates = [tensor for tensor in graph.outputs if tensor.name == options.output]
    else:
        ranks = (3,) if options.task == "object-detection" else (2, 4)
        candidates = [tensor for tensor in graph.outputs if len(tensor.shape) in ranks]
    if len(candidates) > 1 and labels:
        sizes = {len(labels), len(labels) + 4, len(labels) + 5}
        candidates = [tensor for tensor in candidates if set(tensor.shape) & sizes] or candidates
    if len(candidates) == 1:
        return candidates[0]
    names = ", ".join(f"{tensor.name} {file.shape(tensor)}" for tensor in graph.outputs)
    form = "(batch, boxes, columns)" if options.task == "object-detection" else "(batch, classes)"
    advice = f"Choose it with --output NAME: {names}." if candidates else f"The graph has {names}."
    raise RecipeError(f"One output of {form} is needed. {advice}")


def preprocessing_of(canvas: tuple[int, int], options: ImportOptions, notes: Notes) -> ImagePreprocessing | None:
    """Return the preprocessing, or None if flags for it are missing."""
    if options.pixels is None and options.mean is None:
        notes.missing.append(
            "--pixels raw (0..255), unit (0..1), symmetric (-1..1) or imagenet (its mean and standard deviation); "
            "or --mean and --std for pixels from 0 to 1"
        )
    if options.channels is None:
        notes.missing.append("--channels RGB or BGR: RGB unless OpenCV read the training images")
    if options.resize is None:
        notes.missing.append(
            "--resize stretch, shortest-edge-center-crop or letterbox: how to fit an image of another aspect ratio"
        )
    if options.resize is None or options.channels is None or (options.pixels is None and options.mean is None):
        return None
    if options.shortest_edge and options.resize != "shortest-edge-center-crop":
        raise RecipeError("--shortest-edge needs --resize shortest-edge-center-crop.")
    if options.shortest_edge and options.shortest_edge < max(canvas):
        raise RecipeError(
            f"--shortest-edge {options.shortest_edge} is smaller than the crop of {canvas[0]}x{canvas[1]}."
        )
    if options.resize == "shortest-edge-center-crop" and options.shortest_edge is None:
        notes.guesses.append("the shortest edge before the crop: that of the crop, nothing more (--shortest-edge)")
    if options.resample is None:
        notes.guesses.append("the filter: bilinear (--resample)")
    if options.pixels and options.pixels not in RANGES:
        raise RecipeError(f"--pixels must be one of {', '.join(RANGES)}.")
    scale, mean, std = RANGES[options.pixels or "unit"]
    return ImagePreprocessing(
        width=max(canvas[0], 1),
        height=max(canvas[1], 1),
        resize=options.resize,
        before_crop=(options.shortest_edge,) if options.shortest_edge else (),
        resample=options.resample or "bilinear",
        mean=options.mean or mean,
        std=options.std or std,
        scale=scale,
        fill=options.fill,
        centred=options.centred,
        channels=options.channels,
    )


def activation_of(model: onnx.ModelProto, canvas: tuple[int, int], options: ImportOptions, notes: Notes) -> Activation:
    """Return the activation to apply to the output, inferred from the adapted graph's outputs for noise: its last nodes
    do not tell, because others may follow an activation."""
    if options.task == "object-detection":
        return "none"
    if options.activation:
        return options.activation
    outputs = np.concatenate([run(model, pixels) for pixels in noise(canvas)])  # (images, classes)
    if outputs.min() < 0 or outputs.max() > 1 + ROUNDING:
        notes.guesses.append("the activation: softmax (--activation)")
        return "softmax"
    if outputs.shape[1] > 1 and np.abs(outputs.sum(1) - 1).max() < ROUNDING:
        notes.guesses.append("the activation: none, the outputs are probabilities that sum to 1 (--activation)")
        return "none"
    if any(node.op_type in ("Sigmoid", "HardSigmoid") for node in model.graph.node):
        notes.guesses.append("the activation: none, the outputs are probabilities (--activation)")
        return "none"
    notes.missing.append(
        "--activation softmax, sigmoid or none: for noise all outputs are between 0 and 1, but do not sum to 1"
    )
    return "none"


def noise(canvas: tuple[int, int]) -> list[np.ndarray]:
    """Inputs (1, 3, height, width) of several amplitudes and offsets, so that logits leave the range 0 to 1."""
    random = np.random.default_rng(0)
    images = random.random((4, 1, 3, canvas[1], canvas[0]), np.float32)
    images[3, :, 0] = 0  # a picture of one colour
    return [images[0], images[1] * 2 - 1, images[2] * 255, images[3] * 20 - 10]


def classifier_changes(changes: Changes, output: Tensor, labels: int) -> Changes:
    """Return `changes` with those for a classifier's output. Raises RecipeError if the labels do not fit it."""
    classes = output.shape[1]
    if isinstance(classes, int) and classes not in (0, labels):
        raise RecipeError(f"Output {output.name} has {classes} classes, --labels has {labels} names.")
    return replace(changes, flatten=len(output.shape) == 4)


def detector_changes(changes: Changes, output: Tensor, labels: int) -> Changes:
    """Return `changes` with those for a detector's output. Raises RecipeError if the labels do not fit it."""
    _, rows, columns = output.shape
    allowed = (labels + 4, labels + 5)
    if columns in allowed:
        return changes
    if rows in allowed:
        return replace(changes, columns_first=True)
    if rows == labels + 4 + MASK_COEFFICIENTS:  # YOLO's instance segmentation: boxes and scores come first
        return replace(changes, columns_first=True, columns=labels + 4)
    raise RecipeError(
        f"Output {output.name} is {file.shape(output)}; with {labels} labels one dimension must be {allowed[0]} "
        f"(box, scores) or {allowed[1]} (box, objectness, scores). To call the graph by its tensors, use "
        "--task tensors."
    )


def detector_of(
    model: onnx.ModelProto, preprocessing: ImagePreprocessing, options: ImportOptions, notes: Notes
) -> tuple[Detector, int]:
    """Return the head and the first column of logits (0 if there are none), inferred from the output for noise."""
    width, height = preprocessing.width, preprocessing.height
    noise = np.random.default_rng(0).random((1, height, width, 3), np.float32) * 255
    pixels = (noise / preprocessing.scale - np.asarray(preprocessing.mean)) / np.asarray(preprocessing.std)
    output = run(model, pixels.transpose(0, 3, 1, 2).astype(np.float32))[0]  # (n, columns)
    logits = 4 if output[:, 4:].min() < 0 or output[:, 4:].max() > 1 else 0
    # Decoded boxes have centres all over the canvas. Undecoded ones are offsets of a few cells.
    spread = float(output[:, 0].max() - output[:, 0].min())
    form = options.form
    if form is None and spread > width / 2:
        form = "boxes"
    elif form is None and spread < 16 and float(output[:, :4].min()) < 0:
        form = "grid"
    if form is None:
        notes.missing.append(
            "--form boxes (centre and size in pixels of the canvas) or grid (YOLOX's cells): "
            f"for noise, centres are spread over {spread:.1f} pixels, which fits neither"
        )
        return Detector(form="boxes"), logits
    if options.form is None:
        notes.guesses.append(f"the form: {form} (--form)")
    if form == "boxes":
        return Detector(form="boxes", threshold=options.threshold, iou=options.iou), logits
    fitting = [
        strides
        for strides in ([options.strides] if options.strides else KNOWN_STRIDES)
        if sum((width // stride) * (height // stride) for stride in strides) == len(output)
    ]
    if not fitting:
        notes.missing.append(f"--strides, e.g. 8,16,32: no usual ones give {len(output)} cells for {width} x {height}")
        return Detector(form="grid"), logits
    if options.strides is None:
        notes.guesses.append(f"the strides: {','.join(map(str, fitting[0]))} (--strides)")
    return Detector(form="grid", strides=fitting[0], threshold=options.threshold, iou=options.iou), logits
