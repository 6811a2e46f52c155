"""Describe how a model is built: data, network, training, export, quantization, gates.

A recipe lives in `export/recipes/<name with underscores>/recipe.py` as the constant `RECIPE`.
"""

from __future__ import annotations

import difflib
import importlib
import math
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from hearth.models.heads import Head
from hearth.models.manifest import Limits, TaskId
from hearth.models.preprocessing import Preprocessing
from hearth_build.data.datasets import OwnData, Source

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hearth.models.model import Model


Batch: TypeAlias = "dict[str, Tensor]"
"""Tensors by name."""


class RecipeError(Exception):
    """The recipe does not exist, or a step cannot run. The message says what to do."""


class GateError(Exception):
    """The artifact misses a gate of its recipe: it is not accurate enough, or too large."""


@dataclass(frozen=True)
class AdamW:
    learning_rate: float
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass(frozen=True)
class SGD:
    """SGD with Nesterov momentum."""

    learning_rate: float
    weight_decay: float = 5e-4
    momentum: float = 0.9


@dataclass(frozen=True)
class OneCycle:
    """The learning rate rises linearly to its peak and falls to zero along a cosine."""

    warmup: float = 0.25
    """Fraction of all steps."""

    def factor(self, progress: float) -> float:
        if progress < self.warmup:
            return progress / self.warmup
        return 0.5 * (1 + math.cos(math.pi * (progress - self.warmup) / (1 - self.warmup)))


@dataclass(frozen=True)
class Linear:
    """The learning rate rises linearly to its peak and falls linearly to zero."""

    warmup: float = 0.1
    """Fraction of all steps."""

    def factor(self, progress: float) -> float:
        return min(progress / self.warmup, (1 - progress) / (1 - self.warmup))


class Batches(Protocol):
    """Training data. The examples of a batch depend only on the seed and the epoch, so that a run can resume."""

    def plan(self, epoch: int, size: int, seed: int) -> Sequence[Sequence[int]]:
        """The indices of each batch of an epoch. Every epoch has the same number of batches."""

    def collate(self, indices: Sequence[int], progress: float) -> Batch:
        """The tensors of a batch. Random augmentation draws from torch's global generator.

        `progress` is the completed fraction of the whole training, 0 to 1."""


@dataclass(frozen=True)
class Stage:
    """One training run of one network. Every callable gets the work folder, which has the weights of earlier stages."""

    name: str
    network: Callable[[Path], nn.Module]
    batches: Callable[[Path], Batches]
    loss: Callable[[nn.Module, Batch], Tensor]
    score: Callable[[nn.Module, Path], dict[str, float]] | None
    """Computes metrics on held-out data after each epoch. The weights of the epoch with the best first metric are
    kept; with None, those of the last epoch."""
    optimiser: AdamW | SGD
    schedule: OneCycle | Linear
    epochs: int
    batch_size: int
    max_grad_norm: float = 0.0
    """Gradients are clipped to this norm; 0 does not clip."""
    ema_decay: float = 0.0
    """Decay per step of an exponential moving average of the weights, which is then scored and kept. 0: no average."""
    patience: int = 0
    """Stop after this many epochs without a better score; 0 trains all epochs."""
    minutes: float = 0.0
    """Stop after this time and keep the best weights so far; 0 trains all epochs."""


@dataclass(frozen=True)
class NoQuantization:
    """The graph is served as it was exported, in fp32."""


@dataclass(frozen=True)
class DynamicInt8:
    """Weights of `operators` and of embeddings are int8; activations are quantized at run time."""

    operators: tuple[str, ...] = ("MatMul",)
    embedding_rows: int = 1000
    """A Gather of a matrix with at least this many rows is treated as an embedding and quantized."""
    keep: tuple[str, ...] = ()
    """Regular expressions for names of nodes that stay in fp32."""


@dataclass(frozen=True)
class StaticInt8:
    """Weights and activations are int8 (QDQ), with ranges measured on calibration feeds."""

    calibration: Callable[[Path], Sequence[dict[str, Tensor]]]
    keep: tuple[str, ...] = ()
    """Regular expressions for names of nodes that stay in fp32."""


@dataclass(frozen=True)
class BlockInt4:
    """Weights of MatMul are 4-bit with one scale per block; activations are int8 at run time."""

    block_size: int = 32
    embedding_rows: int = 1000
    """As in DynamicInt8."""


@dataclass(frozen=True)
class GivenGraphs:
    """Quantized graphs that the source of an import brings."""

    graphs: dict[str, Callable[[nn.Module | None, Path], None]]
    """As `Recipe.graphs`."""
    name: str
    """The name of the file, for the description."""


Quantizer: TypeAlias = NoQuantization | DynamicInt8 | StaticInt8 | BlockInt4 | GivenGraphs


@dataclass(frozen=True)
class Gate:
    """Requirements for the served graph. An artifact that misses one of them gets no manifest."""

    metric: float
    """Required value of the task's metric on the first dev set: a minimum, or a maximum if lower is better."""
    quantization_loss: float
    """Maximum loss in that metric from the fp32 graph to the served one."""
    bytes: int
    """Maximum size of the artifact folder."""
    difference: float = 0.2
    """Maximum difference from the torch model's outputs for the golden inputs: int8 rounds each layer."""
    accepts_rounding: bool = False
    """Whether an artifact beyond the two limits of rounding is accepted, because its precision was requested."""


@dataclass(frozen=True)
class Example:
    inputs: Any
    """The input as a caller sends it: a text, the bytes of an image file."""
    expected: Any
    """The reference for the task's evaluation: a label or its number, a text, boxes."""
    name: str = field(default="", compare=False)
    """Where it comes from, for messages: a row, a file."""
    group: str = ""
    """Examples of a group, such as a person's, stay on one side of a split."""
    time: str = ""
    """Later examples are held out, if there are times: dates, numbers, or dates with times."""


@dataclass(frozen=True)
class Recipe:
    name: str
    task: TaskId
    description: str
    licence: str
    """Licence of the artifact. Restrictions by the licences of the data are in `limitations`."""
    labels: tuple[str, ...]
    sources: tuple[Source | OwnData, ...]
    prepare: Callable[[Path], None]
    """Fills the work folder from HEARTH_DATA: splits, caches, tokenizer.json."""
    stages: tuple[Stage, ...]
    """The last stage trains the network that is exported."""
    graphs: dict[str, Callable[[nn.Module | None, Path], None]]
    """Functions by role, each of which writes one fp32 graph to one file.
    `hearth_build.onnx_export.export.traced` creates such a function."""
    dev: dict[str, Callable[[Path], Sequence[Example]]]
    """Held-out sets by name, never used for training. The gate applies to the first."""
    golden: Callable[[], Sequence[Any]]
    """Inputs that are not from a data set. Their outputs are stored in golden.json to replay them later."""
    preprocessing: Preprocessing | None
    quantization: Quantizer | dict[str, Quantizer]
    """One for all graphs, or one for each role."""
    gate: Gate
    head: Head | None = None
    resources: dict[str, Callable[[Path], bytes]] = field(default_factory=dict)
    """Small files beside the graphs that the runtime reads, by name, with the function that creates each of them."""
    activation: Literal["softmax", "sigmoid", "none"] = "softmax"
    network: Callable[[Path], nn.Module] | None = None
    """Loads a network that is already trained, instead of stages. With neither, there is no torch model."""
    reference_model: Callable[[nn.Module, Model], Any] | None = None
    """Wraps the torch network as a loaded model, if its graphs are not simply the network's forward pass."""
    seed: int = 1
    version: str = "1"
    inputs: tuple[Path, ...] = ()
    """Files that `prepare` reads, other than `sources`."""
    limits: Limits = field(default_factory=Limits)
    parents: tuple[str, ...] = ()
    reference: str = ""
    """Published results to compare with."""
    limitations: tuple[str, ...] = ()
    test: Callable[[Path], Sequence[Example]] | None = None
    """Examples by which nothing was chosen. The served model is measured on them once, with confidence intervals."""
    report: Callable[[Path, Sequence[Example], Sequence[Any]], Sequence[str]] | None = None
    """Further sections of the model card, from the test examples and what the served model predicts for them."""
    metric: str = ""
    """The metric by which this model is judged, if its data call for another one than the task's own."""
    expected: dict[str, str] = field(default_factory=dict)
    """Expected outputs by input, as the task's evaluation summarizes them: a label, a text."""


def names() -> list[str]:
    """The names of all recipes."""
    import hearth_build.recipes

    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(hearth_build.recipes.__path__))


def load(name: str) -> Recipe:
    """Load a recipe by its name. Raises RecipeError, which lists the recipes."""
    if name not in names():
        close = difflib.get_close_matches(name, names(), n=1)
        advice = f" Did you mean {close[0]}?" if close else ""
        raise RecipeError(f"There is no recipe {name!r}.{advice} The recipes are {', '.join(names())}.")
    module = importlib.import_module(f"hearth_build.recipes.{name.replace('-', '_')}.recipe")
    recipe: Recipe = module.RECIPE
    return recipe
