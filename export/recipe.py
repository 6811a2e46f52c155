"""The frozen description of how one model is made: data, network, training, export, quantization, gates.

A recipe lives in `export/recipes/<name with underscores>/recipe.py` as the constant `RECIPE`.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from export.data import Source
from hearth.manifest import ImagePreprocessing, Limits, Task, TextPreprocessing

if TYPE_CHECKING:
    from torch import Tensor, nn


Batch: TypeAlias = "dict[str, Tensor]"
"""Tensors by name."""


class RecipeError(Exception):
    """A recipe that does not exist, or a step that cannot run as asked. The words say what to do."""


class Gated(Exception):
    """The artifact is not good enough: a gate of its recipe is not met."""


@dataclass(frozen=True)
class AdamW:
    rate: float
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass(frozen=True)
class SGD:
    """With Nesterov momentum."""

    rate: float
    weight_decay: float = 5e-4
    momentum: float = 0.9


@dataclass(frozen=True)
class OneCycle:
    """The rate climbs to its peak, linearly, and falls to zero along a cosine."""

    warmup: float = 0.25
    """Part of all steps."""

    def factor(self, progress: float) -> float:
        if progress < self.warmup:
            return progress / self.warmup
        return 0.5 * (1 + math.cos(math.pi * (progress - self.warmup) / (1 - self.warmup)))


@dataclass(frozen=True)
class Linear:
    """The rate climbs to its peak and falls to zero, both linearly."""

    warmup: float = 0.1
    """Part of all steps."""

    def factor(self, progress: float) -> float:
        return min(progress / self.warmup, (1 - progress) / (1 - self.warmup))


class Batches(Protocol):
    """Training data. Which examples meet in a batch depends on seed and epoch alone, so that a run can resume."""

    def plan(self, epoch: int, size: int, seed: int) -> Sequence[Sequence[int]]:
        """Indices of each batch of an epoch; as many batches in every epoch."""

    def collate(self, indices: Sequence[int], progress: float) -> Batch:
        """A batch's tensors; random augmentation draws from torch's global generator.

        `progress` is the part of the whole training that is done, 0 to 1."""


@dataclass(frozen=True)
class Stage:
    """One training run of one network. Every callable gets the work folder, where earlier stages left weights."""

    name: str
    network: Callable[[Path], nn.Module]
    batches: Callable[[Path], Batches]
    loss: Callable[[nn.Module, Batch], Tensor]
    score: Callable[[nn.Module, Path], dict[str, float]] | None
    """Metrics on held-out data after an epoch; the first one decides which weights are kept. None: the last."""
    optimiser: AdamW | SGD
    schedule: OneCycle | Linear
    epochs: int
    batch: int
    clip: float = 0.0
    """Maximal gradient norm; 0 does not clip."""
    average: float = 0.0
    """Decay per step of the exponential moving average of weights, which is then what is scored and kept."""
    patience: int = 0
    """Stop after so many epochs without a better score; 0 goes to the end."""


@dataclass(frozen=True)
class DynamicInt8:
    """Weights of MatMul and Gather in int8; activations quantized while running."""


@dataclass(frozen=True)
class StaticInt8:
    """Weights and activations in int8 (QDQ); ranges measured on calibration feeds."""

    calibration: Callable[[Path], Sequence[dict[str, Tensor]]]


@dataclass(frozen=True)
class Gate:
    """What the served graph must reach on the dev set, or there is no artifact."""

    accuracy: float
    quantization_loss: float
    """Largest accepted fall in accuracy from the fp32 graph to the served one."""
    bytes: int
    """Largest artifact folder."""
    score_difference: float = 0.2
    """Largest accepted difference of a score from the torch model's, on the golden inputs: int8 rounds each layer."""


@dataclass(frozen=True)
class Example:
    inputs: str | bytes
    """As a caller sends it: a text, or a picture's file."""
    label: int


@dataclass(frozen=True)
class Recipe:
    name: str
    task: Task
    description: str
    licence: str
    """Of the artifact; its limits by the data's licences stand in `limitations`."""
    labels: tuple[str, ...]
    sources: tuple[Source, ...]
    prepare: Callable[[Path], None]
    """Fills the work folder from HEARTH_DATA: splits, caches, tokenizer.json."""
    stages: tuple[Stage, ...]
    """The last one trains the network that is exported."""
    example: Callable[[], dict[str, Tensor]]
    """Inputs of the exported graph by name, for tracing."""
    axes: dict[str, dict[int, str]]
    """Dimensions that vary, by input name."""
    dev: dict[str, Callable[[Path], Sequence[Example]]]
    """Held-out sets by name, never trained on; the gate looks at the first."""
    golden: Callable[[], Sequence[str | bytes]]
    """Inputs of our own making, whose answers are kept for replay."""
    preprocessing: TextPreprocessing | ImagePreprocessing
    quantization: DynamicInt8 | StaticInt8
    gate: Gate
    network: Callable[[Path], nn.Module] | None = None
    """A network that is trained already, instead of stages."""
    seed: int = 1
    version: str = "1"
    limits: Limits = field(default_factory=Limits)
    parents: tuple[str, ...] = ()
    reference: str = ""
    """Published figures to compare with."""
    limitations: tuple[str, ...] = ()
    expected: dict[str, str] = field(default_factory=dict)
    """Texts and the label that they must get."""


def names() -> list[str]:
    """Every recipe's name."""
    import export.recipes

    return sorted(found.name.replace("_", "-") for found in pkgutil.iter_modules(export.recipes.__path__))


def load(name: str) -> Recipe:
    """The recipe of this name. Raises RecipeError with the names there are."""
    if name not in names():
        raise RecipeError(f"There is no recipe {name!r}. Recipes: {', '.join(names())}.")
    module = importlib.import_module(f"export.recipes.{name.replace('-', '_')}.recipe")
    recipe: Recipe = module.RECIPE
    return recipe
