"""Any other graph, as the task `tensors`: it is called by its tensors, and nothing is concluded from it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import onnx
import onnxruntime
from onnx import TensorProto, helper

from hearth.models.manifest import Limits, Tensor
from hearth_build.importing.base import ImportedModel, Importer, ImportOptions, model_name
from hearth_build.importing.source import Source
from hearth_build.onnx_export import file
from hearth_build.onnx_export.example_feeds import draw_feeds
from hearth_build.onnx_export.export import link_graph, tensor_of
from hearth_build.pipeline.evaluation import examples_from
from hearth_build.recipe import Gate, NoQuantization, Recipe, RecipeError

if TYPE_CHECKING:
    from torch import nn

TASK = "tensors"
GOLDEN = 2
"""Number of golden inputs, at most GOLDEN_VALUES in all."""
GOLDEN_VALUES = 200_000
WIDER = {
    TensorProto.BFLOAT16: TensorProto.FLOAT,
    TensorProto.FLOAT8E4M3FN: TensorProto.FLOAT,
    TensorProto.FLOAT8E4M3FNUZ: TensorProto.FLOAT,
    TensorProto.FLOAT8E5M2: TensorProto.FLOAT,
    TensorProto.FLOAT8E5M2FNUZ: TensorProto.FLOAT,
    TensorProto.INT4: TensorProto.INT8,
    TensorProto.UINT4: TensorProto.UINT8,
}
"""Types that NumPy does not have, and the types that stand for them at the graph's edges."""
Writer: TypeAlias = "Callable[[nn.Module | None, Path], None]"


def accepts(source: Source, options: ImportOptions) -> bool:
    return len(source.graphs) == 1 and options.task in (None, TASK)


def read(source: Source, options: ImportOptions) -> ImportedModel:
    """Raises RecipeError for a graph that ONNX Runtime cannot run."""
    path = source.graphs[0]
    open_session(path)
    model = onnx.load(str(path), load_external_data=False)
    zip_maps = [node for node in model.graph.node if node.op_type == "ZipMap"]
    inputs, outputs = signature(model)
    lines = [f"input   {describe(tensor)}" for tensor in inputs] + [f"output  {describe(tensor)}" for tensor in outputs]
    if zip_maps:
        lines.append("concluded that the maps of ZipMap become tensors, whose columns are the labels")
    write = writer(path, model)
    with tempfile.TemporaryDirectory() as folder:
        write(None, Path(folder) / "model.onnx")
        feeds = draw_feeds(open_session(Path(folder) / "model.onnx"), inputs, GOLDEN)
    if options.data is not None:
        feeds = [example.inputs for example in examples_from(options.data, TASK)[:GOLDEN]]
    if not feeds:
        lines.append(
            "concluded no golden answers: no inputs are known for which the graph gives finite numbers that repeat "
            "(--data FILE has some)"
        )
    elif sum(map(count_values, feeds[0].values())) > GOLDEN_VALUES:
        feeds = feeds[:1]
    recipe = Recipe(
        name=model_name(source, options),
        task=TASK,
        description=f"Imported from {source.title}; it is called by its tensors.",
        licence=options.licence or "not stated",
        labels=zip_map_labels(zip_maps),
        sources=(),
        prepare=lambda work: None,
        stages=(),
        graphs={"main": write},
        dev={},
        golden=lambda: feeds,
        preprocessing=None,
        quantization=NoQuantization(),
        gate=Gate(metric=0.0, quantization_loss=0.0, bytes=2**40, difference=1e-3),
        activation="none",
        limits=Limits(),
        parents=(f"{path.name}, SHA-256 {digest(path)}",),
        limitations=("Imported: its training data and its quality are documented only by its authors.",),
    )
    return ImportedModel(recipe, lines)


def open_session(path: Path) -> Any:
    """Raises RecipeError for a graph that ONNX Runtime's CPU provider cannot run."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own classes share no narrower base
        reason = str(error).rpartition(" : ")[2] or str(error)
        raise RecipeError(f"ONNX Runtime cannot run {path}: {' '.join(reason.split())[:300]}") from None


def signature(model: onnx.ModelProto) -> tuple[list[Tensor], list[Tensor]]:
    """The inputs and outputs of the graph."""
    weights = {tensor.name for tensor in model.graph.initializer}
    edges = [value for value in model.graph.input if value.name not in weights], list(model.graph.output)
    inputs, outputs = ([tensor_of(widened(value)) for value in values] for values in edges)
    return inputs, outputs


def widened(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    """The value with a type that NumPy has."""
    copy = onnx.ValueInfoProto()
    copy.CopyFrom(value)
    kind = copy.type.tensor_type
    if copy.type.WhichOneof("value") == "tensor_type":
        kind.elem_type = WIDER.get(kind.elem_type, kind.elem_type)
    return copy


def describe(tensor: Tensor) -> str:
    return f"{tensor.name}: {tensor.onnx_type or tensor.dtype} [{', '.join(map(str, tensor.shape))}]"


def count_values(value: Any) -> int:
    return sum(map(count_values, value)) if isinstance(value, list) else 1


def zip_map_labels(nodes: list[onnx.NodeProto]) -> tuple[str, ...]:
    """The labels of the only ZipMap, or none."""
    if len(nodes) != 1:
        return ()
    values = [helper.get_attribute_value(attribute) for attribute in nodes[0].attribute]
    return tuple(item.decode() if isinstance(item, bytes) else str(item) for item in next(iter(values), ()))


def writer(path: Path, model: onnx.ModelProto) -> Writer:
    """Writes the graph with the changes that it needs; a graph that needs none is linked with its weights."""
    edges = [*model.graph.input, *model.graph.output]
    needs_cast = any(value.type.tensor_type.elem_type in WIDER for value in edges)
    needs_change = needs_cast or any(node.op_type == "ZipMap" for node in model.graph.node)

    def write(network: nn.Module | None, target: Path) -> None:
        if needs_change:
            changed = file.read(path)
            remove_zip_maps(changed)
            cast_edges(changed)
            onnx.save(changed, str(target), save_as_external_data=True, location=f"{target.name}.data")
            return
        link_graph(path, target)

    return write


def remove_zip_maps(model: onnx.ModelProto) -> None:
    """Return the tensor of each ZipMap in the place of its maps."""
    graph = model.graph
    outputs = {value.name: value for value in graph.output}
    for index, node in enumerate(graph.node):
        if node.op_type == "ZipMap" and node.output[0] in outputs:
            count = len(zip_map_labels([node]))
            value = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, [None, count or None])
            outputs[node.output[0]].CopyFrom(value)
            graph.node[index].CopyFrom(helper.make_node("Identity", [node.input[0]], [node.output[0]], node.name))


def cast_edges(model: onnx.ModelProto) -> None:
    """Cast inputs and outputs from and to the types that stand for those that NumPy does not have."""
    graph = model.graph
    before, after = [], []
    for value in graph.input:
        if wide := WIDER.get(value.type.tensor_type.elem_type):
            before.append(
                helper.make_node("Cast", [value.name], [f"{value.name}.narrow"], to=value.type.tensor_type.elem_type)
            )
            for node in graph.node:
                for index, name in enumerate(node.input):
                    node.input[index] = f"{name}.narrow" if name == value.name else name
            value.type.tensor_type.elem_type = wide
    for value in graph.output:
        if wide := WIDER.get(value.type.tensor_type.elem_type):
            after.append(helper.make_node("Cast", [f"{value.name}.narrow"], [value.name], to=wide))
            for node in graph.node:
                for names in (node.input, node.output):
                    for index, name in enumerate(names):
                        names[index] = f"{name}.narrow" if name == value.name else name
            value.type.tensor_type.elem_type = wide
    nodes = [*before, *graph.node, *after]
    del graph.node[:]
    graph.node.extend(nodes)


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


IMPORTERS = (Importer("any graph that ONNX Runtime runs (--task tensors)", accepts, read),)
