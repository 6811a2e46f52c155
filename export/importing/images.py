"""ONNX files of image classifiers, object detectors and segmentation.

What the graph, its metadata and the files beside it say is read from them. What is ambiguous must be given by flags;
one error lists all missing flags.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from hearth.models.heads import Detector, Head, Segmenter
from hearth.models.manifest import Limits
from hearth.models.preprocessing import ImagePreprocessing
from hearth_build.data import images
from hearth_build.importing import detector_outputs, picture_processors, segmenter_outputs, ultralytics
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
    is_picture,
    labels_of,
    layout_of,
    output_of,
    preprocessing_of,
    probe,
)
from hearth_build.importing.source import Source
from hearth_build.onnx_export import file
from hearth_build.onnx_export.file import GraphInfo
from hearth_build.onnx_export.rewrite import Changes, adapt, last_nodes
from hearth_build.recipe import Gate, NoQuantization, Quantizer, Recipe, StaticInt8

if TYPE_CHECKING:
    from torch import nn

CALIBRATION_IMAGES = 128
"""Largest number of images that activation ranges are measured on."""
TASKS = ("image-classification", "object-detection", "image-segmentation")
Outputs = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Adapted:
    """The graph as it is served."""

    graph: onnx.ModelProto
    head: Head | None = None
    fp32_nodes: tuple[str, ...] = ()
    """Regular expressions of the nodes that int8 leaves in fp32."""


def accepts(source: Source, options: ImportOptions) -> bool:
    """Whether the task says so, or the graph reads pictures."""
    if not source.is_file or options.task not in (None, *TASKS):
        return False
    inputs = file.describe(file.load(source.path)).inputs
    return options.task is not None or any(is_picture(tensor) for tensor in inputs)


def read(source: Source, options: ImportOptions) -> ImportedModel:
    """Raises RecipeError with all missing flags, and DataError for files that do not fit."""
    path = source.path
    model = file.load(path)
    graph = file.describe(model)
    notes = Notes()
    metadata = ultralytics.parse(graph.metadata)
    options = ultralytics.with_metadata(options, metadata, notes)
    if options.task is None:
        notes.missing.append(f"--task {', '.join(TASKS)}, or --task tensors to call the graph by its tensors")
    pixels = input_of(graph)
    channels_last, channels, canvas = layout_of(pixels, options, notes)
    canvas = canvas if all(canvas) else metadata.size or canvas
    beside = picture_processors.beside(path)
    if pixels.dtype == "uint8":
        options = replace(options, pixels="raw", mean=None, std=None)
    elif beside is not None:
        notes.guesses.append(f"how pictures are prepared, from {beside[1]} (--pixels, --resize, --resample)")
    given = None if beside is None else beside[0]
    if options.task == "image-segmentation" and options.resize is None and given is None:
        options = replace(options, resize="stretch")
    preprocessing = preprocessing_of(canvas, channels, given, options, notes)
    labels = labels_of(metadata.labels, options)
    if labels is None:
        outputs = ", ".join(f"{tensor.name} {file.shape(tensor)}" for tensor in graph.outputs)
        notes.missing.append(
            "--labels FILE: the names of the classes, one per line or a JSON list, in the order of the output "
            f"({outputs})"
        )
    require_flags(path.name, lines_of(graph, notes), notes)
    assert options.task is not None
    assert labels is not None
    assert preprocessing is not None
    canvas = (preprocessing.width, preprocessing.height)
    detector_outputs.fix_size(model, canvas)
    results = probe(model, pixels, channels_last, preprocessing)
    changes = Changes(pixels.name, "", canvas, channels, channels_last)
    if options.task == "object-detection":
        adapted = adapt_detector(model, changes, results, preprocessing, labels, metadata, options, notes)
        require_flags(path.name, lines_of(graph, notes), notes)
    elif options.task == "image-segmentation":
        name, _ = output_of(results, options, labels)
        segmenter_outputs.to_logits(model, name, results[name], len(labels), notes)
        adapted = Adapted(adapt(model, replace(changes, output=segmenter_outputs.OUTPUT)), Segmenter())
    else:
        name, shape = output_of(results, options, labels)
        adapted = Adapted(adapt(model, classifier_changes(replace(changes, output=name), name, shape, len(labels))))
    has_dynamic_batch = file.describe(adapted.graph).inputs[0].shape[0] == "batch"
    notes.guesses.append("several images per run" if has_dynamic_batch else "one image per run: the batch is fixed")
    activation = activation_of(adapted.graph, preprocessing, options, notes)
    require_flags(path.name, lines_of(graph, notes), notes)
    is_single = not has_dynamic_batch and options.task == "image-classification"
    recipe = Recipe(
        name=model_name(source, options),
        task=options.task,
        description=f"Imported from {path.name}.",
        licence=options.licence or "not stated",
        labels=labels,
        sources=(),
        prepare=lambda work: None,
        stages=(),
        graphs={"main": writer(adapted.graph)},
        dev={},
        golden=images.synthetic_images,
        preprocessing=preprocessing,
        quantization=NoQuantization(),
        gate=Gate(metric=0.0, quantization_loss=0.05, bytes=2**32, difference=0.5),
        head=adapted.head,
        activation=activation,
        limits=Limits(batch=1 if is_single else 32, pixels=50_000_000),
        parents=(f"{path.name}, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}",),
        limitations=("Imported: its training data and its quality are documented only by its authors.",),
    )
    return ImportedModel(
        recipe,
        [*lines_of(graph, notes), picture_processors.describe(preprocessing)],
        quantizers(options, preprocessing, adapted.fp32_nodes),
        "" if options.calibrate else "To make it smaller and faster with int8, add --calibrate IMAGE_FOLDER.",
    )


def adapt_detector(
    model: onnx.ModelProto,
    changes: Changes,
    results: Outputs,
    preprocessing: ImagePreprocessing,
    labels: tuple[str, ...],
    metadata: ultralytics.Metadata,
    options: ImportOptions,
    notes: Notes,
) -> Adapted:
    """The graph whose only output has the boxes. `results`: its outputs for noise. Raises RecipeError."""
    limits: dict[str, Any] = {"threshold": options.threshold, "iou": 1.0}
    joined = None if options.output else detector_outputs.join(model, results, len(labels), notes)
    is_selected = joined is not None and joined.is_selected
    if joined is None:
        name, shape = output_of(results, options, labels)
        rows = results[name]
        is_selected = metadata.is_selected or detector_outputs.is_selected_rows(rows, len(labels))
        if metadata.task == "obb":
            detector_outputs.make_upright(model, name, len(labels), columns_first=shape[1] == len(labels) + 5)
            name = detector_outputs.OUTPUT
        elif is_selected and shape[2] > detector_outputs.COLUMNS:
            changes = replace(changes, columns=detector_outputs.COLUMNS)
        elif metadata.task in ("segment", "pose"):  # masks' coefficients or key points follow
            changes = replace(changes, columns_first=True, columns=len(labels) + 4)
        elif not is_selected:
            changes = detector_changes(changes, name, shape, len(labels))
    else:
        name = detector_outputs.OUTPUT
    changes = replace(changes, output=name)
    adapted = adapt(model, changes)
    head: Detector
    if is_selected:
        is_normalised = joined is not None and joined.is_normalised
        head = Detector(form="selected", normalised=is_normalised, **limits)
        notes.guesses.append("the graph suppresses overlapping boxes itself: rows of corners, score and label")
    elif joined is not None and joined.is_detr:
        head = Detector(form="boxes", normalised=True, multi_label=joined.has_all_labels, **limits)
        notes.guesses.append("DETR's boxes: centre and size in fractions of the picture, which do not compete")
    else:
        head, logits = detector_of(adapted, preprocessing, options, notes)
        if logits:
            notes.guesses.append("scores are logits: they get a sigmoid")
            adapted = adapt(model, replace(changes, logits=logits))
    fp32_nodes = tuple(f"^{re.escape(name)}$" for name in last_nodes(adapted))
    if options.calibrate:
        notes.guesses.append("the last convolutions and the nodes after them stay fp32 (--keep for more)")
    return Adapted(adapted, head, fp32_nodes)


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


IMPORTERS = (Importer("ONNX files of image classifiers, object detectors and segmentation", accepts, read),)
