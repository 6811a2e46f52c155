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
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from hearth.models.manifest import AudioPreprocessing, Head, ImagePreprocessing, Limits, TaskId, TextPreprocessing
from hearth_build.data.datasets import Source

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hearth.models.model import Model


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
class NoQuantization:
    """The graph is served as it was exported, in fp32."""


@dataclass(frozen=True)
class DynamicInt8:
    """Weights of `operators` and of embeddings in int8; activations quantized while running."""

    operators: tuple[str, ...] = ("MatMul",)
    embedding_rows: int = 1000
    """A Gather of a matrix with so many rows is an embedding that is worth quantizing."""
    keep: tuple[str, ...] = ()
    """Regular expressions: nodes of these names stay in fp32."""


@dataclass(frozen=True)
class StaticInt8:
    """Weights and activations in int8 (QDQ); ranges measured on calibration feeds."""

    calibration: Callable[[Path], Sequence[dict[str, Tensor]]]
    keep: tuple[str, ...] = ()
    """Regular expressions: nodes of these names stay in fp32."""


@dataclass(frozen=True)
class Block4:
    """Weights of MatMul in 4 bits, a scale for each `block` of them; activations in int8 while running."""

    block: int = 32
    embedding_rows: int = 1000
    """As of DynamicInt8."""


Quantizer: TypeAlias = NoQuantization | DynamicInt8 | StaticInt8 | Block4


@dataclass(frozen=True)
class Gate:
    """What the served graph must reach on the dev set, or there is no artifact."""

    metric: float
    """Of the task's own metric (export/evaluations): a least value, or a largest one where less is better."""
    quantization_loss: float
    """Largest accepted loss in that metric from the fp32 graph to the served one."""
    bytes: int
    """Largest artifact folder."""
    difference: float = 0.2
    """Largest accepted difference from the torch model's answers to the golden inputs: int8 rounds each layer."""


@dataclass(frozen=True)
class Example:
    inputs: Any
    """As a caller sends it: a text, a picture's file."""
    expected: Any
    """What the task's evaluation compares the answer with: a class's number, a text, boxes."""


@dataclass(frozen=True)
class Recipe:
    name: str
    task: TaskId
    description: str
    licence: str
    """Of the artifact; its limits by the data's licences stand in `limitations`."""
    labels: tuple[str, ...]
    sources: tuple[Source, ...]
    prepare: Callable[[Path], None]
    """Fills the work folder from HEARTH_DATA: splits, caches, tokenizer.json."""
    stages: tuple[Stage, ...]
    """The last one trains the network that is exported."""
    graphs: dict[str, Callable[[nn.Module | None, Path], None]]
    """By role: each writes one plain fp32 graph in one file. `hearth_build.onnx_export.export.traced` makes such a writer."""
    dev: dict[str, Callable[[Path], Sequence[Example]]]
    """Held-out sets by name, never trained on; the gate looks at the first."""
    golden: Callable[[], Sequence[Any]]
    """Inputs of our own making, whose answers are kept for replay."""
    preprocessing: TextPreprocessing | ImagePreprocessing | AudioPreprocessing
    quantization: Quantizer | dict[str, Quantizer]
    """Of every graph, or of each by role."""
    gate: Gate
    head: Head | None = None
    resources: dict[str, Callable[[Path], bytes]] = field(default_factory=dict)
    """Small files beside the graphs that the runtime reads, by name; each is made from the work folder."""
    activation: Literal["softmax", "sigmoid", "none"] = "softmax"
    network: Callable[[Path], nn.Module] | None = None
    """A network that is trained already, instead of stages; with neither, the graphs were never a torch model here."""
    twin: Callable[[nn.Module, Model], Any] | None = None
    """Dresses the torch network as a loaded model, where its graphs are not simply the network's own forward pass."""
    seed: int = 1
    version: str = "1"
    limits: Limits = field(default_factory=Limits)
    parents: tuple[str, ...] = ()
    reference: str = ""
    """Published figures to compare with."""
    limitations: tuple[str, ...] = ()
    expected: dict[str, str] = field(default_factory=dict)
    """Inputs and what their answer must be in brief: a label, a text."""


def names() -> list[str]:
    """Every recipe's name."""
    import hearth_build.recipes

    return sorted(found.name.replace("_", "-") for found in pkgutil.iter_modules(hearth_build.recipes.__path__))


def load(name: str) -> Recipe:
    """The recipe of this name. Raises RecipeError with the names there are."""
    if name not in names():
        raise RecipeError(f"There is no recipe {name!r}. Recipes: {', '.join(names())}.")
    module = importlib.import_module(f"hearth_build.recipes.{name.replace('-', '_')}.recipe")
    recipe: Recipe = module.RECIPE
    return recipe
