"""From torch to ONNX, optimised offline; `hearth build RECIPE --step export` runs it.

Graphs are optimised at ONNX Runtime's extended level, not its highest: that one rewrites for the processor at hand.
Weights go to one external file beside the graph, which the runtime maps into memory.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import onnxruntime
import torch
from torch import nn

from export.recipe import Recipe, RecipeError
from hearth.manifest import Graph, Tensor

GRAPH, WEIGHTS = "model.onnx", "model.bin"
EXTERNAL_FROM = 1024
"""Bytes of a tensor from which on it goes to WEIGHTS."""
OPSET = 17


def network_of(recipe: Recipe, work: Path) -> nn.Module:
    """The trained network, ready to answer. Raises RecipeError when it is not trained yet."""
    if recipe.network is not None:
        return recipe.network(work).eval()
    last = recipe.stages[-1]
    weights = work / last.name / "weights.pt"
    if not weights.exists():
        raise RecipeError(f"{weights} is missing. Run `hearth build {recipe.name} --step train` first.")
    network = last.network(work)
    network.load_state_dict(torch.load(weights, weights_only=True))
    return network.eval()


def export(recipe: Recipe, network: nn.Module, path: Path) -> None:
    """Write the network as a plain fp32 graph in one file."""
    example = recipe.example()
    # The tracing exporter: its graphs are the ones that the quantizer and the optimiser know best.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            tuple(example.values()),
            str(path),
            input_names=list(example),
            output_names=["logits"],
            dynamic_axes={**recipe.axes, "logits": {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )


def optimise(source: Path, folder: Path) -> None:
    """Write `source`, optimised, as GRAPH and WEIGHTS into `folder`. Raises RuntimeError if they do not read back."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (GRAPH, WEIGHTS):
        (folder / name).unlink(missing_ok=True)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / GRAPH)
    options.log_severity_level = 3
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", WEIGHTS)
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_min_size_in_bytes", str(EXTERNAL_FROM)
    )
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    places = external_files(folder / GRAPH)
    if places - {WEIGHTS}:
        raise RuntimeError(f"{folder / GRAPH} keeps weights in {sorted(places)}; only {WEIGHTS} beside it is allowed")


def external_files(path: Path) -> set[str]:
    """Where a graph says that its weights lie."""
    model = onnx.load(str(path), load_external_data=False)
    return {
        entry.value for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == "location"
    }


def describe(folder: Path) -> Graph:
    """The manifest's entry of GRAPH in `folder`: names, types and shapes."""
    model = onnx.load(str(folder / GRAPH), load_external_data=False)
    return Graph(
        path=GRAPH,
        inputs=tuple(tensor(value) for value in model.graph.input),
        outputs=tuple(tensor(value) for value in model.graph.output),
    )


def tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
    shape = tuple(size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim)
    return Tensor(name=value.name, dtype=kind, shape=shape)  # type: ignore[arg-type]
