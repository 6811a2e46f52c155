"""What all importers share: the options of `hearth import`, and what an importer returns."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from hearth.models.manifest import Manifest
from hearth_build.importing.source import Source
from hearth_build.recipe import Quantizer, Recipe, RecipeError

Precision = Literal["fp32", "int8", "int4", "given"]
"""`given`: the quantized variant that the source brings."""
PoolingMethod = Literal["mean", "cls", "last", "max", "sqrt", "weighted"]


@dataclass(frozen=True)
class ImportOptions:
    """The flags of `hearth import`; None means not given."""

    task: str | None = None
    name: str | None = None
    precision: Literal["auto", "fp32", "int8", "int4"] = "auto"
    calibrate: Path | None = None
    data: Path | None = None
    licence: str | None = None
    revision: str | None = None
    pooling: PoolingMethod | None = None
    labels: Path | None = None
    columns: str | None = None
    pixels: str | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    channels: Literal["RGB", "BGR"] | None = None
    resize: Literal["stretch", "shortest-edge-center-crop", "letterbox"] | None = None
    shortest_edge: int | None = None
    resample: Literal["bilinear", "bicubic"] | None = None
    centred: bool = False
    fill: int = 114
    size: tuple[int, int] | None = None
    layout: Literal["NCHW", "NHWC"] | None = None
    output: str | None = None
    activation: Literal["softmax", "sigmoid", "none"] | None = None
    form: Literal["grid", "boxes"] | None = None
    strides: tuple[int, ...] | None = None
    threshold: float = 0.25
    iou: float = 0.5
    keep: tuple[str, ...] = ()


@dataclass
class Notes:
    """What an importer concluded, and which flags are missing, as lines for the user."""

    guesses: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ImportedModel:
    recipe: Recipe
    """Its quantization is that of fp32; `quantizers` has the others."""
    lines: list[str]
    """What the source contains, and what was concluded from it, with the flags that override the conclusions."""
    quantizers: Mapping[Precision, Quantizer] = field(default_factory=dict)
    """The quantizers that fit this model, by precision. `--precision auto` tries them all."""
    advice: str = ""
    """What would make further precisions possible, as a sentence."""
    build: Callable[[Path, str, str], tuple[Manifest, list[str]]] | None = None
    """Builds the artifact of a model that may be too large for the usual steps: (work folder, command, precision)."""


class Importer(NamedTuple):
    """One family of models."""

    kind: str
    """What it imports, as a plural noun for messages."""
    accepts: Callable[[Source, ImportOptions], bool]
    """Whether a source is of this family. It reads configuration and names only."""
    read: Callable[[Source, ImportOptions], ImportedModel]
    """Raises RecipeError with everything that is missing, and DataError for files that do not fit."""


def model_name(source: Source, options: ImportOptions) -> str:
    """The model's name, from --name or from the source. Raises RecipeError if it is not a valid name."""
    name = options.name or re.sub(r"[^a-z0-9._-]+", "-", source.stem.lower()).strip("-._")[:63]
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,62}", name):
        raise RecipeError(
            f"{name!r} is not a valid model name: --name takes lower-case letters, digits, and `.`, `-` or `_`."
        )
    return name


def require_flags(title: str, lines: list[str], notes: Notes) -> None:
    """Raises RecipeError if flags are missing, with everything that is known so far."""
    if notes.missing:
        known = "".join(f"\n  {line}" for line in lines)
        missing = "".join(f"\n  {flag}" for flag in notes.missing)
        raise RecipeError(f"{title} contains{known}\nAdd flags for what it does not say:{missing}")
