"""`hearth import FILE.onnx --task …`: any ONNX image classifier or object detector as a recipe without stages.

What the graph says is read from it. What is ambiguous must be given by flags; one error lists all missing flags.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
from torch import nn

from hearth.models.manifest import ImagePreprocessing, Limits, Tensor
from hearth_build.data import images
from hearth_build.onnx_export import file
from hearth_build.onnx_export.file import GraphInfo
from hearth_build.onnx_export.inspect import (
    Flags,
    Notes,
    Task,
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
from hearth_build.onnx_export.preprocessor_config import with_preprocessor_config
from hearth_build.onnx_export.rewrite import Changes, adapt, last_nodes, output_shapes
from hearth_build.pipeline.evaluation import examples_from
from hearth_build.recipe import Example, Gate, NoQuantization, Quantizer, Recipe, RecipeError, StaticInt8

CALIBRATION_IMAGES = 128
"""Largest number of images that activation ranges are measured on."""


@dataclass(frozen=True)
class ImportedModel:
    recipe: Recipe
    lines: list[str]
    """What the graph contains, and what was guessed from it, with the flags that override the guesses."""


def recipe_of(path: Path, flags: Flags) -> ImportedModel:
    """Import an ONNX file. Raises RecipeError with all missing flags, and DataError for files that do not fit."""
    model = file.load(path)
    graph = file.describe(model)
    notes = Notes()
    flags = with_preprocessor_config(path, flags, notes)
    pixels = input_of(graph)
    channels_last, canvas = layout_of(pixels, flags, notes)
    if all(canvas):
        height_width = (canvas[1], canvas[0])
        shapes = output_shapes(model, pixels, (1, *height_width, 3) if channels_last else (1, 3, *height_width))
        outputs = tuple(Tensor(tensor.name, tensor.dtype, shapes[tensor.name]) for tensor in graph.outputs)
        graph = replace(graph, outputs=outputs)
    labels = labels_of(graph, flags)
    output = output_of(graph, flags, labels)
    preprocessing = preprocessing_of(canvas, flags, notes)
    if labels is None:
        notes.missing.append(
            "--labels FILE: the names of the classes, one per line or a JSON list, in the order of output "
            f"{output.name} {file.shape(output)}"
        )
    require_flags(path, graph, notes)
    assert labels is not None
    assert preprocessing is not None
    changes = Changes(pixels.name, output.name, canvas, channels_last)
    is_detector = flags.task == "object-detection"
    if is_detector:
        changes = detector_changes(changes, output, len(labels))
    else:
        changes = classifier_changes(changes, output, len(labels))
    adapted = adapt(model, changes)
    has_dynamic_batch = file.describe(adapted).inputs[0].shape[0] == "batch"
    notes.guesses.append("several images per run" if has_dynamic_batch else "one image per run: the batch is fixed")
    head = None
    fp32_nodes: tuple[str, ...] = ()
    if is_detector:
        head, logits = detector_of(adapted, preprocessing, flags, notes)
        require_flags(path, graph, notes)
        if logits:
            notes.guesses.append("scores are logits: they get a sigmoid")
            adapted = adapt(model, replace(changes, logits=logits))
        fp32_nodes = tuple(f"^{re.escape(name)}$" for name in last_nodes(adapted))
        if flags.calibrate:
            notes.guesses.append("the last convolutions and the nodes after them stay fp32 (--keep for more)")
    activation = activation_of(graph, output, flags, notes)
    recipe = Recipe(
        name=name_of(path, flags),
        task=flags.task,
        description=f"Imported from {path.name}.",
        licence=flags.licence,
        labels=labels,
        sources=(),
        prepare=lambda work: None,
        stages=(),
        graphs={"main": writer(adapted)},
        dev={} if flags.data is None else {flags.data.name: examples_reader(flags.data, flags.task)},
        golden=images.synthetic_images,
        preprocessing=preprocessing,
        quantization=quantizer(flags, preprocessing, fp32_nodes),
        gate=Gate(metric=0.0, quantization_loss=0.05, bytes=2**32, difference=0.5),
        head=head,
        activation=activation,
        limits=Limits(batch=32 if is_detector or has_dynamic_batch else 1, pixels=50_000_000),
        parents=(f"{path.name}, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}",),
        limitations=("Imported: its training data and its quality are documented only by its authors.",),
    )
    return ImportedModel(recipe, lines_of(graph, notes))


def lines_of(graph: GraphInfo, notes: Notes) -> list[str]:
    return [*graph.lines(), *(f"guessed {guess}" for guess in notes.guesses)]


def require_flags(path: Path, graph: GraphInfo, notes: Notes) -> None:
    """Raises RecipeError if flags are missing, with everything that is known so far."""
    if notes.missing:
        known = "".join(f"\n  {line}" for line in lines_of(graph, notes))
        missing = "".join(f"\n  {flag}" for flag in notes.missing)
        raise RecipeError(f"{path.name} contains{known}\nAdd flags for what it does not say:{missing}")


def name_of(path: Path, flags: Flags) -> str:
    """Return the model's name, from --name or from the file. Raises RecipeError if it is not a valid name."""
    name = flags.name or re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("-._")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,62}", name):
        raise RecipeError(
            f"{name!r} is not a valid model name: --name takes lower-case letters, digits, and `.`, `-` or `_`."
        )
    return name


def quantizer(flags: Flags, preprocessing: ImagePreprocessing, fp32_nodes: tuple[str, ...]) -> Quantizer:
    if flags.calibrate is None:
        return NoQuantization()
    paths = images.sample_images(flags.calibrate, CALIBRATION_IMAGES)
    return StaticInt8(
        lambda work: images.calibration_feeds([path.read_bytes() for path in paths], preprocessing, "pixels", 1),
        (*fp32_nodes, *flags.keep),
    )


def writer(model: onnx.ModelProto) -> Callable[[nn.Module | None, Path], None]:
    def write(network: nn.Module | None, path: Path) -> None:
        onnx.save(model, str(path))

    return write


def examples_reader(path: Path, task: Task) -> Callable[[Path], Sequence[Example]]:
    examples = examples_from(path, task)
    return lambda work: examples
