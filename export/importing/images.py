"""ONNX files of image classifiers and object detectors.

What the graph says is read from it. What is ambiguous must be given by flags; one error lists all missing flags.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
from torch import nn

from hearth.models.heads import Detector
from hearth.models.manifest import Limits, Tensor
from hearth.models.preprocessing import ImagePreprocessing
from hearth_build.data import images
from hearth_build.importing.base import (
    ImportedModel,
    Importer,
    ImportOptions,
    Notes,
    Precision,
    model_name,
    require_flags,
)
from hearth_build.importing.image_graphs import (
    activation_of,
    classifier_changes,
    detector_changes,
    detector_of,
    input_of,
    labels_of,
    layout_of,
    output_of,
    preprocessing_of,
)
from hearth_build.importing.preprocessor_config import with_preprocessor_config
from hearth_build.importing.selected_boxes import COLUMNS, join_selected
from hearth_build.importing.source import Source
from hearth_build.onnx_export import file
from hearth_build.onnx_export.file import GraphInfo
from hearth_build.onnx_export.rewrite import Changes, adapt, last_nodes, output_shapes
from hearth_build.recipe import Gate, NoQuantization, Quantizer, Recipe, StaticInt8

CALIBRATION_IMAGES = 128
"""Largest number of images that activation ranges are measured on."""


TASKS = ("image-classification", "object-detection")


def accepts(source: Source, options: ImportOptions) -> bool:
    return source.is_file and options.task in (None, *TASKS)


def read(source: Source, options: ImportOptions) -> ImportedModel:
    """Raises RecipeError with all missing flags, and DataError for files that do not fit."""
    path = source.path
    model = file.load(path)
    graph = file.describe(model)
    notes = Notes()
    options = with_preprocessor_config(path, options, notes)
    if options.task is None:
        notes.missing.append(f"--task {' or '.join(TASKS)}, or --task tensors to call the graph by its tensors")
    pixels = input_of(graph)
    channels_last, canvas = layout_of(pixels, options, notes)
    if options.task == "object-detection" and join_selected(model, canvas):
        graph = replace(file.describe(model), bytes=graph.bytes)
    if all(canvas):
        height_width = (canvas[1], canvas[0])
        shapes = output_shapes(model, pixels, (1, *height_width, 3) if channels_last else (1, 3, *height_width))
        outputs = tuple(Tensor(tensor.name, tensor.dtype, shapes[tensor.name]) for tensor in graph.outputs)
        graph = replace(graph, outputs=outputs)
    labels = labels_of(graph, options)
    output = output_of(graph, options, labels)
    preprocessing = preprocessing_of(canvas, options, notes)
    if labels is None:
        notes.missing.append(
            "--labels FILE: the names of the classes, one per line or a JSON list, in the order of output "
            f"{output.name} {file.shape(output)}"
        )
    require_flags(path.name, lines_of(graph, notes), notes)
    assert options.task is not None
    assert labels is not None
    assert preprocessing is not None
    changes = Changes(pixels.name, output.name, canvas, channels_last)
    is_detector = options.task == "object-detection"
    is_selected = is_detector and output.shape[-1] == COLUMNS and len(labels) not in (1, 2)
    if is_detector and not is_selected:
        changes = detector_changes(changes, output, len(labels))
    elif not is_detector:
        changes = classifier_changes(changes, output, len(labels))
    adapted = adapt(model, changes)
    has_dynamic_batch = file.describe(adapted).inputs[0].shape[0] == "batch"
    notes.guesses.append("several images per run" if has_dynamic_batch else "one image per run: the batch is fixed")
    head = None
    fp32_nodes: tuple[str, ...] = ()
    if is_selected:
        head = Detector(form="selected", threshold=options.threshold, iou=1.0)
        notes.guesses.append("the graph suppresses overlapping boxes itself: rows of corners, score and label")
    elif is_detector:
        head, logits = detector_of(adapted, preprocessing, options, notes)
        require_flags(path.name, lines_of(graph, notes), notes)
        if logits:
            notes.guesses.append("scores are logits: they get a sigmoid")
            adapted = adapt(model, replace(changes, logits=logits))
    if is_detector:
        fp32_nodes = tuple(f"^{re.escape(name)}$" for name in last_nodes(adapted))
        if options.calibrate:
            notes.guesses.append("the last convolutions and the nodes after them stay fp32 (--keep for more)")
    activation = activation_of(adapted, canvas, options, notes)
    require_flags(path.name, lines_of(graph, notes), notes)
    recipe = Recipe(
        name=model_name(source, options),
        task=options.task,
        description=f"Imported from {path.name}.",
        licence=options.licence or "not stated",
        labels=labels,
        sources=(),
        prepare=lambda work: None,
        stages=(),
        graphs={"main": writer(adapted)},
        dev={},
        golden=images.synthetic_images,
        preprocessing=preprocessing,
        quantization=NoQuantization(),
        gate=Gate(metric=0.0, quantization_loss=0.05, bytes=2**32, difference=0.5),
        head=head,
        activation=activation,
        limits=Limits(batch=32 if is_detector or has_dynamic_batch else 1, pixels=50_000_000),
        parents=(f"{path.name}, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}",),
        limitations=("Imported: its training data and its quality are documented only by its authors.",),
    )
    return ImportedModel(
        recipe,
        lines_of(graph, notes),
        quantizers(options, preprocessing, fp32_nodes),
        "" if options.calibrate else "To make it smaller and faster with int8, add --calibrate IMAGE_FOLDER.",
    )


def lines_of(graph: GraphInfo, notes: Notes) -> list[str]:
    return [*graph.lines(), *(f"guessed {guess}" for guess in notes.guesses)]


def quantizers(
    options: ImportOptions, preprocessing: ImagePreprocessing, fp32_nodes: tuple[str, ...]
) -> dict[Precision, Quantizer]:
    """Convolutions are quantized with ranges measured on images, so without --calibrate there is fp32 alone."""
    if options.calibrate is None:
        return {}
    paths = images.sample_images(options.calibrate, CALIBRATION_IMAGES)
    int8 = StaticInt8(
        lambda work: images.calibration_feeds([path.read_bytes() for path in paths], preprocessing, "pixels", 1),
        (*fp32_nodes, *options.keep),
    )
    return {"int8": int8}


def writer(model: onnx.ModelProto) -> Callable[[nn.Module | None, Path], None]:
    def write(network: nn.Module | None, path: Path) -> None:
        onnx.save(model, str(path))

    return write


IMPORTERS = (Importer("ONNX files of image classifiers and object detectors", accepts, read),)
