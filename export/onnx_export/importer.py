"""`hearth import FILE.onnx --task …`: any ONNX classifier or detector of pictures as a recipe without stages.

What the graph tells is read from it; what two readings would fit is asked for, all at once, with the flags to add.
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
from hearth_build.onnx_export.file import Contents
from hearth_build.onnx_export.inspect import (
    Flags,
    Notes,
    Task,
    activation_of,
    columns,
    detector_of,
    flat,
    input_of,
    labels_of,
    layout_of,
    output_of,
    preprocessing_of,
)
from hearth_build.onnx_export.rewrite import Changes, adapted, ends, settled
from hearth_build.pipeline.evaluation import examples_from
from hearth_build.recipe import Example, Gate, NoQuantization, Quantizer, Recipe, RecipeError, StaticInt8

CALIBRATION = 128
"""Pictures that ranges are measured on, at most."""


@dataclass(frozen=True)
class Import:
    recipe: Recipe
    lines: list[str]
    """What stands in the graph, and what was concluded from it, with the flag that says otherwise."""


def recipe_of(path: Path, flags: Flags) -> Import:
    """Raises RecipeError with every flag that is missing, and DataError for files that do not fit."""
    model = file.load(path)
    contents = file.contents(model)
    notes = Notes()
    given = input_of(contents)
    channels_last, canvas = layout_of(given, flags, notes)
    if all(canvas):
        height_width = (canvas[1], canvas[0])
        shapes = settled(model, given, (1, *height_width, 3) if channels_last else (1, 3, *height_width))
        outputs = tuple(Tensor(one.name, one.dtype, shapes[one.name]) for one in contents.outputs)
        contents = replace(contents, outputs=outputs)
    labels = labels_of(contents, flags)
    output = output_of(contents, flags, labels)
    how = preprocessing_of(canvas, flags, notes)
    if labels is None:
        notes.asked.append(
            f"--labels FILE: the classes' names, one a line or a JSON list, in the order of output {output.name} "
            f"{file.shape(output)}"
        )
    settle(path, contents, notes)
    assert labels is not None
    assert how is not None
    changes = Changes(given.name, output.name, canvas, channels_last)
    detector = flags.task == "object-detection"
    changes = (columns if detector else flat)(changes, output, len(labels))
    made = adapted(model, changes)
    batch = file.contents(made).inputs[0].shape[0]
    notes.guessed.append("pictures answer together" if batch == "batch" else "one picture a run: the batch is fixed")
    head = None
    if detector:
        head, logits = detector_of(made, how, flags, notes)
        settle(path, contents, notes)
        if logits:
            notes.guessed.append("scores are logits: they get a sigmoid")
            made = adapted(model, replace(changes, logits=logits))
    kept = tuple(f"^{re.escape(name)}$" for name in ends(made)) if detector else ()
    if detector and flags.calibrate:
        notes.guessed.append("the last convolutions and what joins them stay fp32 (--keep for more)")
    activation = activation_of(contents, output, flags, notes)
    recipe = Recipe(
        name=name_of(path, flags),
        task=flags.task,
        description=f"Imported from {path.name}.",
        licence=flags.licence,
        labels=labels,
        sources=(),
        prepare=lambda work: None,
        stages=(),
        graphs={"main": writer(made)},
        dev={} if flags.data is None else {flags.data.name: examples_in(flags.data, flags.task)},
        golden=images.synthetic_images,
        preprocessing=how,
        quantization=quantizer(flags, how, kept),
        gate=Gate(metric=0.0, quantization_loss=0.05, bytes=2**32, difference=0.5),
        head=head,
        activation=activation,
        limits=Limits(batch=32 if detector or batch == "batch" else 1, pixels=50_000_000),
        parents=(f"{path.name}, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}",),
        limitations=("Imported: what it was trained on, and how well it does, its makers know.",),
    )
    return Import(recipe, [*contents.lines(), *(f"guessed {guess}" for guess in notes.guessed)])


def settle(path: Path, contents: Contents, notes: Notes) -> None:
    """Raises RecipeError where something is asked, with all that is known by then."""
    if notes.asked:
        known = [*contents.lines(), *(f"guessed {guess}" for guess in notes.guessed)]
        asked = "".join(f"\n  {question}" for question in notes.asked)
        told = "".join(f"\n  {line}" for line in known)
        raise RecipeError(f"{path.name} holds{told}\nWhat it does not tell, say by flag:{asked}")


def name_of(path: Path, flags: Flags) -> str:
    name = flags.name or re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("-._")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,62}", name):
        raise RecipeError(f"{name!r} is no name for a model: --name takes small letters, digits, dots and dashes.")
    return name


def quantizer(flags: Flags, how: ImagePreprocessing, kept: tuple[str, ...]) -> Quantizer:
    if flags.calibrate is None:
        return NoQuantization()
    chosen = images.sample_images(flags.calibrate, CALIBRATION)
    return StaticInt8(
        lambda work: images.calibration_feeds([path.read_bytes() for path in chosen], how, "pixels", 1),
        (*kept, *flags.keep),
    )


def writer(model: onnx.ModelProto) -> Callable[[nn.Module | None, Path], None]:
    def write(network: nn.Module | None, path: Path) -> None:
        onnx.save(model, str(path))

    return write


def examples_in(path: Path, task: Task) -> Callable[[Path], Sequence[Example]]:
    examples = examples_from(path, task)
    return lambda work: examples
