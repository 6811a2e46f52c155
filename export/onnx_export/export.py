"""From torch to ONNX, optimised offline; `hearth build RECIPE --step export` runs it.

Graphs are optimised as far as ONNX Runtime does, but for what it would do for the processor at hand alone.
Weights go to one external file beside the graph, which the runtime maps into memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx
import onnxruntime
import torch
from torch import nn

from hearth.models.manifest import Graph, Provider, Tensor
from hearth_build.pipeline.train import weights_of
from hearth_build.recipe import Recipe, RecipeError

EXTERNAL_FROM = 1024
"""Bytes of a tensor from which on it goes to the file of weights."""
OPSET = 17
UNWANTED = [
    "NchwcTransformer",  # into blocks as wide as this processor's registers
    "SkipLayerNormFusion",  # whose operator takes eight times as long as a LayerNormalization
]
"""Optimisers left out. NhwcTransformer, of the same level, stays: its int8 convolutions, channels last, are a fifth
faster on any processor."""


def files(role: str) -> tuple[str, str]:
    """The names of a graph and of its weights in an artifact."""
    stem = "model" if role == "main" else role
    return f"{stem}.onnx", f"{stem}.bin"


def network_of(recipe: Recipe, work: Path) -> nn.Module | None:
    """The trained network, ready to answer; None where there never was one. Raises RecipeError: not trained yet."""
    if recipe.network is not None:
        return recipe.network(work).eval()
    if not recipe.stages:
        return None
    last = recipe.stages[-1]
    weights = work / last.name / "weights.pt"
    if not weights.exists():
        raise RecipeError(f"{weights} is missing. Run `hearth build {recipe.name} --step train` first.")
    network = last.network(work)
    network.load_state_dict(weights_of(work, last.name))
    return network.eval()


def traced(
    example: Callable[[], dict[str, torch.Tensor]],
    axes: dict[str, dict[int, str]],
    outputs: Sequence[str] = ("logits",),
    part: Callable[[nn.Module], nn.Module] = lambda network: network,
) -> Callable[[nn.Module | None, Path], None]:
    """A writer of the graph of `part` of the network, traced with `example`.

    `axes` names the dimensions that vary of inputs and outputs; an output that is not in it varies in its first.
    """

    def write(network: nn.Module | None, path: Path) -> None:
        assert network is not None
        inputs = example()
        # The tracing exporter: its graphs are the ones that the quantizer and the optimiser know best.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                part(network).eval(),
                tuple(inputs.values()),
                str(path),
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes={**{name: {0: "batch"} for name in outputs}, **axes},
                opset_version=OPSET,
                dynamo=False,
            )

    return write


def optimise(source: Path, folder: Path, role: str = "main", provider: Provider = "cpu") -> None:
    """Write `source`, optimised, as the graph of `role` into `folder`. Raises RuntimeError if it does not read back.

    Another provider than ONNX Runtime's own fuses for itself, and knows no fused operators: for it nothing is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name, weights = files(role)
    for file in (name, weights):
        (folder / file).unlink(missing_ok=True)
    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if provider == "cpu" else level.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(folder / name)
    options.log_severity_level = 3
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", weights)
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_min_size_in_bytes", str(EXTERNAL_FROM)
    )
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"], disabled_optimizers=UNWANTED)
    places = external_files(folder / name)
    if places - {weights}:
        raise RuntimeError(f"{folder / name} keeps weights in {sorted(places)}; only {weights} beside it is allowed")


def external_files(path: Path) -> set[str]:
    """Where a graph says that its weights lie."""
    model = onnx.load(str(path), load_external_data=False)
    return {
        entry.value for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == "location"
    }


def describe(folder: Path, role: str = "main") -> Graph:
    """The manifest's entry of the graph of `role` in `folder`: names, types and shapes."""
    name, _ = files(role)
    model = onnx.load(str(folder / name), load_external_data=False)
    return Graph(
        path=name,
        inputs=tuple(tensor(value) for value in model.graph.input),
        outputs=tuple(tensor(value) for value in model.graph.output),
    )


def tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
    shape = tuple(size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim)
    return Tensor(name=value.name, dtype=kind, shape=shape)  # type: ignore[arg-type]
