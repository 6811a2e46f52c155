"""Export of torch networks to ONNX graphs that are optimised offline; `hearth build RECIPE --step export` runs it.

ONNX Runtime applies all its optimisations except those for the processor of the build machine. Weights go to one
external file beside the graph, which the runtime maps into memory.
"""

from __future__ import annotations

import inspect
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import onnx
import onnxruntime

from hearth.models.manifest import ANY_SHAPE, Graph, Provider, Tensor
from hearth.models.model import SLOW_FUSIONS
from hearth_build.onnx_export import blocks
from hearth_build.recipe import Recipe, RecipeError

if TYPE_CHECKING:
    import torch
    from torch import nn

EXTERNAL_FROM = 1024
"""Smallest size, in bytes, of a tensor that goes to the external file of weights."""
OPSET = 17
EXPORT_OPSET = 20
"""Of torch's exporter: the first with GELU, below the ones whose operators ONNX Runtime does not fuse."""
DISABLED_OPTIMIZERS = [
    "NchwcTransformer",  # its blocks are as wide as the registers of the build machine; see blocks.py
    *SLOW_FUSIONS,
]
"""Disabled optimisers. NhwcTransformer, of the same level, is enabled: its channels-last int8 convolutions are a fifth
faster on any processor."""


def files(role: str) -> tuple[str, str]:
    """Return the file names of a graph and of its weights in an artifact."""
    stem = "model" if role == "main" else role
    return f"{stem}.onnx", f"{stem}.bin"


def network_of(recipe: Recipe, work: Path) -> nn.Module | None:
    """Return the trained network in evaluation mode, or None for a recipe without a network.

    Raises RecipeError if it is not trained yet.
    """
    if recipe.network is not None:
        return recipe.network(work).eval()
    if not recipe.stages:
        return None
    from hearth_build.pipeline.train import weights_of

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
) -> Callable[[nn.Module | None, Path], None]:
    """Return a function that writes the graph of the network, traced with the inputs of `example`.

    `axes` names the dynamic dimensions of inputs and outputs. Outputs that it does not name have a dynamic batch.
    """

    def write(network: nn.Module | None, path: Path) -> None:
        import torch

        assert network is not None
        inputs = example()
        # The tracing exporter writes the graphs that the quantizer and the optimiser support best. It prints those that
        # it cannot write, whatever `verbose` says (torch 2.13: setup_onnx_logging).
        with warnings.catch_warnings(), mock.patch.object(torch._C, "_jit_onnx_log"):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network.eval(),
                tuple(inputs.values()),
                str(path),
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes={**{name: {0: "batch"} for name in outputs}, **axes},
                opset_version=OPSET,
                dynamo=False,
            )

    return write


def exported(
    example: Callable[[], dict[str, torch.Tensor]],
    axes: dict[int, str] | dict[str, dict[int, str]],
    outputs: Sequence[str],
) -> Callable[[nn.Module | None, Path], None]:
    """Return a function that writes the graph of a network of transformers, by torch's exporter.

    It follows the data flow of classes that the tracing exporter records wrongly, such as attention masks that depend
    on the inputs. `axes` names the dynamic dimensions of all inputs, or those of each input.
    """

    def write(network: nn.Module | None, path: Path) -> None:
        import torch

        from hearth_build.onnx_export.attention import fused

        assert network is not None
        inputs = example()
        axes_of: dict[str, dict[int, str]] = {name: axes.get(name, axes) for name in inputs}  # type: ignore
        shapes: tuple[object, ...] = tuple(dict.fromkeys(names, torch.export.Dim.DYNAMIC) for names in axes_of.values())
        parameters = inspect.signature(network.forward).parameters.values()
        if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters):
            named = sum(parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for parameter in parameters)
            shapes = (*shapes[:named], shapes[named:])
        logging.disable(logging.ERROR)  # what fails is raised
        try:
            with warnings.catch_warnings(), fused(network):
                warnings.simplefilter("ignore")
                torch.onnx.export(
                    network.eval(),
                    tuple(inputs.values()),
                    str(path),
                    input_names=list(inputs),
                    output_names=list(outputs),
                    dynamic_shapes=shapes,
                    opset_version=EXPORT_OPSET,
                    dynamo=True,
                    verbose=False,
                )
        except torch.onnx.errors.OnnxExporterError as error:
            cause = str(error.__cause__ or error).strip().splitlines()[0]
            raise RecipeError(
                f"torch {torch.__version__} cannot export this model: {cause[:300]}. Export it to ONNX elsewhere "
                "(optimum-cli export onnx), and import that folder."
            ) from None
        finally:
            logging.disable(logging.NOTSET)
        name_axes(path, axes_of)

    return write


def name_axes(path: Path, axes: dict[str, dict[int, str]]) -> None:
    """Name the dynamic dimensions of the inputs; the exporter numbers them."""
    model = onnx.load(str(path), load_external_data=False)
    for value in model.graph.input:
        for axis, name in axes[value.name].items():
            value.type.tensor_type.shape.dim[axis].dim_param = name
    onnx.save(model, str(path))


def optimise(source: Path, folder: Path, role: str = "main", provider: Provider = "cpu") -> None:
    """Optimise `source` and write it as the graph of `role` into `folder`. Raises RuntimeError for misplaced weights.

    Only graphs for ONNX Runtime's own CPU provider are optimised: other providers fuse operators themselves and do not
    support the fused operators of ONNX Runtime.
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
    try:
        onnxruntime.InferenceSession(
            str(source), options, providers=["CPUExecutionProvider"], disabled_optimizers=DISABLED_OPTIMIZERS
        )
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:  # some graphs run but cannot be saved
        copy_graph(source, folder / name, weights)
    locations = external_files(folder / name)
    if locations - {weights}:
        raise RuntimeError(f"{folder / name} has weights in {sorted(locations)}; only {weights} beside it is allowed")
    if provider == "cpu":
        blocks.measure(folder / name)


def copy_graph(source: Path, target: Path, weights: str) -> None:
    """Copy a graph as it is, with its weights in one external file."""
    model = onnx.load(str(source))
    onnx.save(model, str(target), save_as_external_data=True, location=weights, size_threshold=EXTERNAL_FROM)


def link_graph(source: Path, target: Path) -> None:
    """Give a graph another path, and put its external files beside it, without copying where the disk allows."""
    names = {name: name for name in external_files(source)} | {source.name: target.name}
    for old, new in names.items():
        file = target.parent / new
        file.unlink(missing_ok=True)
        try:
            os.link((source.parent / old).resolve(), file)
        except OSError:  # another file system
            shutil.copyfile(source.parent / old, file)


def external_files(path: Path) -> set[str]:
    """Return the names of the files that hold the weights of a graph."""
    model = onnx.load(str(path), load_external_data=False)
    return {
        entry.value for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == "location"
    }


def describe(folder: Path, role: str = "main") -> Graph:
    """Return the manifest's entry for the graph of `role` in `folder`: names, types and shapes."""
    name, _ = files(role)
    model = onnx.load(str(folder / name), load_external_data=False)
    weights = {tensor.name for tensor in model.graph.initializer}
    return Graph(
        path=name,
        inputs=tuple(tensor_of(value) for value in model.graph.input if value.name not in weights),
        outputs=tuple(tensor_of(value) for value in model.graph.output),
        blocked=blocks.is_marked(model),
    )


def tensor_of(value: onnx.ValueInfoProto) -> Tensor:
    """Return the manifest's description of a graph input or output."""
    if value.type.WhichOneof("value") != "tensor_type":
        return Tensor(name=value.name, dtype="json", shape=(), onnx_type=type_name(value.type))
    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    shape = tuple(size_of(value.name, axis, size) for axis, size in enumerate(tensor.shape.dim))
    return Tensor(
        name=value.name,
        dtype="string" if dtype == "object" else dtype,  # type: ignore[arg-type]
        shape=shape if tensor.HasField("shape") else ANY_SHAPE,
    )


def size_of(name: str, axis: int, size: onnx.TensorShapeProto.Dimension) -> int | str:
    """Return a dimension's size, or a name for one that is dynamic: exporters write 0 and -1 for sizes they do not
    know."""
    return size.dim_value if size.dim_value > 0 else size.dim_param or f"{name}.{axis}"


def type_name(kind: onnx.TypeProto) -> str:
    """Return ONNX Runtime's name of a type, such as seq(map(string,tensor(float)))."""
    match kind.WhichOneof("value"):
        case "sequence_type":
            return f"seq({type_name(kind.sequence_type.elem_type)})"
        case "map_type":
            return f"map({element_name(kind.map_type.key_type)},{type_name(kind.map_type.value_type)})"
        case "optional_type":
            return f"optional({type_name(kind.optional_type.elem_type)})"
        case _:
            return f"tensor({element_name(kind.tensor_type.elem_type)})"


def element_name(kind: int) -> str:
    return str(onnx.TensorProto.DataType.Name(kind)).lower()
