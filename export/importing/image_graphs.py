"""Infers how to serve an image graph, and which flags the user must add because the graph does not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import onnx
from msgspec.structs import replace as replace_fields

from hearth.models.heads import Detector
from hearth.models.manifest import Tensor
from hearth.models.preprocessing import ImagePreprocessing
from hearth_build.importing.base import ImportOptions, Notes
from hearth_build.importing.detector_outputs import SIZES
from hearth_build.importing.labels import read_names
from hearth_build.importing.picture_processors import check_crop, with_flags
from hearth_build.onnx_export import file
from hearth_build.onnx_export.file import GraphInfo
from hearth_build.onnx_export.rewrite import Changes, run, session
from hearth_build.recipe import RecipeError

MASK_COEFFICIENTS, KEY_POINTS = 32, 51
"""Columns that YOLO's segmentation and pose estimation have after the scores."""
KNOWN_STRIDES = ((8, 16, 32), (8, 16, 32, 64), (16, 32), (8, 16), (16,), (32,))
ROUNDING = 0.01
"""Error of a sum of probabilities, which are float16 in some graphs."""
Activation = Literal["softmax", "sigmoid", "none"]


def is_picture(tensor: Tensor) -> bool:
    """Whether an input can take pictures: four dimensions, one of them the channels, or unknown ones."""
    shape = tensor.shape
    if len(shape) != 4 or tensor.dtype not in ("float32", "float16", "float64", "uint8"):
        return False
    return any(isinstance(shape[axis], str) or shape[axis] in (1, 3) for axis in (1, 3))


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
    if len(pixels.shape) != 4 or pixels.dtype not in ("float32", "float16", "float64", "uint8"):
        raise RecipeError(
            f"Input {pixels.name} is {pixels.dtype} {file.shape(pixels)}; images have four dimensions in float32, "
            "float16, float64 or uint8. To call the graph by its tensors, use --task tensors."
        )
    return pixels


def layout_of(pixels: Tensor, options: ImportOptions, notes: Notes) -> tuple[bool, int, tuple[int, int]]:
    """Return whether channels come last, their number, and (width, height)."""
    first, last = pixels.shape[1], pixels.shape[3]
    channels_last = (last in (1, 3) and first not in (1, 3)) or (last == 3 and first != 3)
    if options.layout:
        channels_last = options.layout == "NHWC"
    elif first == last:
        notes.missing.append("--layout NCHW or NHWC: the shape does not show which dimension has the channels")
    else:
        notes.guesses.append(f"the layout: {'NHWC' if channels_last else 'NCHW'} (--layout)")
    given = last if channels_last else first
    channels = given if isinstance(given, int) else 3
    if channels not in (1, 3):
        raise RecipeError(
            f"Input {pixels.name} has {channels} channels; pictures of 3 channels or of one, grey, are supported. To "
            "call the graph by its tensors, use --task tensors."
        )
    if channels == 1:
        notes.guesses.append("one channel: pictures become grey")
    height, width = pixels.shape[1:3] if channels_last else pixels.shape[2:4]
    if options.size:
        if any(
            isinstance(side, int) and side not in (0, requested)
            for side, requested in zip((width, height), options.size, strict=True)
        ):
            raise RecipeError(
                f"--size {options.size[0]}x{options.size[1]} does not fit the graph, which takes {width}x{height}."
            )
        return channels_last, channels, options.size
    if isinstance(width, int) and isinstance(height, int) and width and height:
        return channels_last, channels, (width, height)
    return channels_last, channels, (0, 0)


def labels_of(given: Sequence[str], options: ImportOptions) -> tuple[str, ...] | None:
    """Return the labels of --labels, or those that the graph or its folder has; None if there are none."""
    if options.labels is not None:
        return tuple(read_names(str(options.labels)))
    return tuple(given) or None


def preprocessing_of(
    canvas: tuple[int, int], channels: int, given: ImagePreprocessing | None, options: ImportOptions, notes: Notes
) -> ImagePreprocessing | None:
    """Return the preprocessing, or None if flags for it are missing.

    `given` is what a file beside the graph describes; flags win. `canvas` is (0, 0) if the graph accepts any size.
    """
    if given is None:
        require_preprocessing(channels, options, notes)
        if options.resize is None or (channels == 3 and options.channels is None):
            return None
        if options.pixels is None and options.mean is None:
            return None
        if options.resample is None:
            notes.guesses.append("the filter: bilinear (--resample)")
        if options.resize == "shortest-edge-center-crop" and options.shortest_edge is None:
            notes.guesses.append("the shortest edge before the crop: that of the crop, nothing more (--shortest-edge)")
        kind: Literal["RGB", "L"] = "L" if channels == 1 else "RGB"
        sides = (max(canvas[0], 1), max(canvas[1], 1))
        given = ImagePreprocessing(*sides, "stretch", (0.0,) * channels, (1.0,) * channels, channels=kind)
    elif channels == 1 and given.channels != "L":
        given = replace_fields(given, channels="L", mean=given.mean[:1], std=given.std[:1])
    preprocessing = with_flags(given, options)
    if all(canvas):
        preprocessing = replace_fields(preprocessing, width=canvas[0], height=canvas[1])
    elif preprocessing.width == 1 or preprocessing.resize == "keep-aspect":
        notes.missing.append(
            "--size WIDTHxHEIGHT: the graph accepts any size; give the one of its training, e.g. 224x224"
        )
    if preprocessing.resize == "keep-aspect":
        preprocessing = replace_fields(preprocessing, resize="stretch")
        notes.guesses.append("pictures are stretched to the size of the graph (--resize)")
    check_crop(preprocessing)
    return preprocessing


def require_preprocessing(channels: int, options: ImportOptions, notes: Notes) -> None:
    """Note the flags that are missing where no file describes the preprocessing."""
    if options.pixels is None and options.mean is None:
        notes.missing.append(
            "--pixels raw (0..255), unit (0..1), symmetric (-1..1) or imagenet (its mean and standard deviation); "
            "or --mean and --std for pixels from 0 to 1"
        )
    if options.channels is None and channels == 3:
        notes.missing.append("--channels RGB or BGR: RGB unless OpenCV read the training images")
    if options.resize is None:
        notes.missing.append(
            "--resize stretch, shortest-edge-center-crop or letterbox: how to fit an image of another aspect ratio"
        )


def probe(
    model: onnx.ModelProto, pixels: Tensor, channels_last: bool, preprocessing: ImagePreprocessing
) -> dict[str, np.ndarray[Any, Any]]:
    """The graph's outputs for a picture of noise. Raises RecipeError if it does not run."""
    noise = prepared_noise(preprocessing)
    feed = (noise.transpose(0, 2, 3, 1) if channels_last else noise).astype(pixels.dtype)
    names = [value.name for value in model.graph.output]
    try:
        outputs = session(model).run(names, {pixels.name: feed})
    except Exception as error:  # ONNX Runtime's own classes share no narrower base
        raise RecipeError(f"The graph does not run on an input of {list(feed.shape)}: {str(error)[:300]}") from None
    if not all(isinstance(output, np.ndarray) for output in outputs):
        raise RecipeError("The graph's outputs are sequences or maps; import it with --task tensors.")
    return dict(zip(names, outputs, strict=True))


def prepared_noise(preprocessing: ImagePreprocessing) -> np.ndarray[Any, Any]:
    """(1, channels, height, width), as the preprocessing gives it for a picture of noise."""
    sides = (1, preprocessing.height, preprocessing.width, len(preprocessing.mean))
    noise = np.random.default_rng(0).random(sides, np.float32) * 255
    pixels = (noise / preprocessing.scale - np.asarray(preprocessing.mean)) / np.asarray(preprocessing.std)
    prepared: np.ndarray[Any, Any] = pixels.transpose(0, 3, 1, 2).astype(np.float32)
    return prepared


def output_of(
    outputs: Mapping[str, np.ndarray[Any, Any]], options: ImportOptions, labels: Sequence[str]
) -> tuple[str, tuple[int, ...]]:
    """Return the output to read, and its shape. Raises RecipeError if none or several are suitable."""
    shapes = {name: output.shape for name, output in outputs.items()}
    ranks = {"object-detection": (3,), "image-segmentation": (3, 4)}.get(str(options.task), (2, 4))
    if options.output:
        candidates = [name for name in shapes if name == options.output]
    else:
        candidates = [name for name, shape in shapes.items() if len(shape) in ranks]
    if len(candidates) > 1:
        sizes = {len(labels), len(labels) + 4, len(labels) + 5}
        candidates = [name for name in candidates if set(shapes[name]) & sizes] or candidates
    if len(candidates) == 1:
        return candidates[0], shapes[candidates[0]]
    names = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
    form = {
        "object-detection": "(batch, boxes, columns)",
        "image-segmentation": "(batch, classes, rows, columns)",
    }.get(str(options.task), "(batch, classes)")
    advice = f"Choose it with --output NAME: {names}." if candidates else f"The graph has {names}."
    raise RecipeError(f"One output of {form} is needed. {advice}")


def activation_of(
    model: onnx.ModelProto, preprocessing: ImagePreprocessing, options: ImportOptions, notes: Notes
) -> Activation:
    """Return the activation to apply to the output, inferred from the adapted graph's outputs for noise: its last nodes
    do not tell, because others may follow an activation."""
    if options.task != "image-classification":
        return "none"
    if options.activation:
        return options.activation
    outputs = np.concatenate([run(model, pixels) for pixels in noise(preprocessing)])  # (images, classes)
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


def noise(preprocessing: ImagePreprocessing) -> list[np.ndarray[Any, Any]]:
    """Inputs (1, channels, height, width) of several amplitudes and offsets, so that logits leave the range 0 to 1."""
    random = np.random.default_rng(0)
    shape = (4, 1, len(preprocessing.mean), preprocessing.height, preprocessing.width)
    images = random.random(shape, np.float32)
    images[3, :, 0] = 0  # a picture of one colour
    return [images[0], images[1] * 2 - 1, images[2] * 255, images[3] * 20 - 10]


def classifier_changes(changes: Changes, name: str, shape: Sequence[int], labels: int) -> Changes:
    """Return `changes` with those for a classifier's output. Raises RecipeError if the labels do not fit it."""
    classes = int(np.prod(shape[1:]))
    if classes != labels:
        raise RecipeError(f"Output {name} has {classes} classes, --labels has {labels} names.")
    return replace(changes, flatten=len(shape) == 4)


def detector_changes(changes: Changes, name: str, shape: Sequence[int], labels: int) -> Changes:
    """Return `changes` with those for a detector's output. Raises RecipeError if the labels do not fit it."""
    _, rows, columns = shape
    allowed = (labels + 4, labels + 5)
    if columns in allowed:
        return changes
    if rows in allowed:
        return replace(changes, columns_first=True)
    # YOLO's instance segmentation and pose estimation: boxes and scores come first
    if rows in (labels + 4 + MASK_COEFFICIENTS, labels + 4 + KEY_POINTS):
        return replace(changes, columns_first=True, columns=labels + 4)
    raise RecipeError(
        f"Output {name} is {list(shape)}; with {labels} labels one dimension must be {allowed[0]} "
        f"(box, scores) or {allowed[1]} (box, objectness, scores). To call the graph by its tensors, use "
        "--task tensors."
    )


def detector_of(
    model: onnx.ModelProto, preprocessing: ImagePreprocessing, options: ImportOptions, notes: Notes
) -> tuple[Detector, int]:
    """Return the head and the first column of logits (0 if there are none), inferred from the output for noise."""
    width, height = preprocessing.width, preprocessing.height
    output = run(model, prepared_noise(preprocessing))[0]  # (n, columns)
    logits = 4 if output[:, 4:].min() < 0 or output[:, 4:].max() > 1 else 0
    # Decoded boxes have centres all over the canvas. Undecoded ones are offsets of a few cells.
    spread = float(output[:, 0].max() - output[:, 0].min())
    smallest, largest = float(output[:, :4].min()), float(output[:, :4].max())
    limits = {"threshold": options.threshold, "iou": options.iou}
    is_fraction = smallest > -1 and largest < 2
    # Centres right of the middle have larger coordinates than sizes, so these are no centres and sizes.
    is_corner = bool((output[:, 2:4] >= output[:, :2]).all()) and (is_fraction or largest > width / 4)
    if options.form is None and is_corner:
        notes.guesses.append(f"the form: corners, in {'fractions' if is_fraction else 'pixels'} of the canvas")
        return Detector(form="corners", normalised=is_fraction, **limits), logits
    form = options.form
    if form is None and spread > width / 2:
        form = "boxes"
    elif form is None and is_fraction and smallest >= 0 and spread > 0.3:
        notes.guesses.append("the form: boxes, in fractions of the canvas (--form)")
        return Detector(form="boxes", normalised=True, **limits), logits
    elif form is None and spread < 16 and smallest < 0:
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
        return Detector(form="boxes", **limits), logits
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
    return Detector(form="grid", strides=fitting[0], **limits), logits
