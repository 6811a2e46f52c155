"""Adapts the graph of an imported ONNX file to the runtime.

The runtime feeds float32 pixels in NCHW and reads one tensor. Graphs with another input or output get additional nodes
that convert them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, version_converter

from hearth_build.onnx_export.export import OPSET
from hearth_build.onnx_export.file import describe
from hearth_build.recipe import RecipeError

PER_CHANNEL = 13
"""First opset in which a quantized tensor may have one scale per channel."""


@dataclass(frozen=True)
class Changes:
    """The conversions to add before and after a graph."""

    input: str
    output: str
    canvas: tuple[int, int]
    """(width, height)."""
    channels: int = 3
    channels_last: bool = False
    """The input is (batch, height, width, channels)."""
    columns_first: bool = False
    """The output of a detector is (batch, columns, n)."""
    flatten: bool = False
    """The output of a classifier is (batch, classes, 1, 1)."""
    columns: int = 0
    """Number of the first columns of a detector's output that are kept; 0: all."""
    logits: int = 0
    """First column of a detector's output that contains logits, which get a sigmoid; 0 if there are none."""


def adapt(model: onnx.ModelProto, changes: Changes) -> onnx.ModelProto:
    """Return a graph from `pixels`, float32 NCHW, to `found`, float32. Its batch is dynamic if the graph allows it.

    Raises RecipeError if the graph cannot be converted to an opset that int8 needs, or does not run.
    """
    adapted = upgrade_opset(model)
    graph = adapted.graph
    pixels = next(value for value in graph.input if value.name == changes.input)
    dtype = pixels.type.tensor_type.elem_type
    output_type = next(value for value in graph.output if value.name == changes.output).type.tensor_type.elem_type
    for node in graph.node:
        rename(node.input, {changes.input: "pixels.given", changes.output: "found.given"})
        rename(node.output, {changes.output: "found.given"})
    before = Chain("pixels")
    if changes.channels_last:
        before.add("Transpose", perm=[0, 2, 3, 1])
    if dtype != TensorProto.FLOAT:
        before.add("Cast", to=dtype)
    before.end("pixels.given")
    after = Chain("found.given")
    if changes.flatten:
        after.add("Flatten")
    if changes.columns_first:
        after.add("Transpose", perm=[0, 2, 1])
    if changes.columns:
        for name, value in (("first", 0), ("last", changes.columns), ("along", 2)):
            graph.initializer.append(helper.make_tensor(f"found.{name}", TensorProto.INT64, [1], [value]))
        after.add("Slice", "found.first", "found.last", "found.along")
    if output_type != TensorProto.FLOAT:
        after.add("Cast", to=TensorProto.FLOAT)
    if changes.logits:
        after.add_sigmoid(graph, changes.logits)
    after.end("found")
    nodes = [*before.nodes, *graph.node, *after.nodes]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    set_inputs_and_outputs(adapted, (changes.channels, changes.canvas[1], changes.canvas[0]))
    return adapted


def session(model: onnx.ModelProto) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def last_nodes(model: onnx.ModelProto) -> tuple[str, ...]:
    """Return the names of the last convolutions and of the nodes that follow them.

    The ranges of their outputs differ too much for int8.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    visited: dict[str, None] = {}
    pending = [value.name for value in model.graph.output]
    while pending:
        node = producers.get(pending.pop())
        if node is not None and node.name not in visited:
            visited[node.name] = None
            if node.op_type != "Conv":
                pending += node.input
    return tuple(visited)


def rename(names: Any, table: dict[str, str]) -> None:
    for index, name in enumerate(names):
        names[index] = table.get(name, name)


class Chain:
    """A sequence of nodes that starts from one tensor."""

    def __init__(self, start: str) -> None:
        self.start = self.name = start
        self.nodes: list[onnx.NodeProto] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> None:
        """Append a node whose first input is the end of the chain."""
        result = f"{self.start}.{len(self.nodes)}"
        node = helper.make_node(
            operator, [self.name, *inputs], [result], f"{self.start}/{operator}_{len(self.nodes)}", **attributes
        )
        self.nodes.append(node)
        self.name = result

    def add_sigmoid(self, graph: onnx.GraphProto, column: int) -> None:
        """Apply a sigmoid to all columns from `column` on."""
        source = self.name
        for name, value in (("zero", 0), ("column", column), ("end", 2**31 - 1), ("axis", 2)):
            graph.initializer.append(helper.make_tensor(f"{self.start}.{name}", TensorProto.INT64, [1], [value]))
        names = [f"{self.start}.{name}" for name in ("zero", "column", "end", "axis")]
        self.add("Slice", names[0], names[1], names[3])
        boxes, self.name = self.name, source
        self.add("Slice", names[1], names[2], names[3])
        self.add("Sigmoid")
        scores, self.name = self.name, boxes
        self.add("Concat", scores, axis=2)

    def end(self, name: str) -> None:
        """Give the end of the chain its name."""
        self.nodes.append(helper.make_node("Identity", [self.name], [name], f"{self.start}/Identity"))


def upgrade_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy with an opset that int8 needs. Raises RecipeError if it cannot be converted."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    version = describe(model).opset
    if version >= PER_CHANNEL:
        return copy
    try:
        return version_converter.convert_version(copy, OPSET)
    except Exception as error:  # the converter raises RuntimeError and worse
        raise RecipeError(
            f"The graph has opset {version} and cannot be converted to {OPSET} ({str(error)[:120]}). "
            f"Export it again with opset {OPSET}."
        ) from None


def set_inputs_and_outputs(model: onnx.ModelProto, shape: tuple[int, int, int]) -> None:
    """Declare the input, of `shape` for a picture, and the output. The batch is dynamic if two images together give the
    same output as separately."""
    noise = np.random.default_rng(0).random((2, *shape), np.float32)
    for batch in ("batch", 1):
        declare(model, [batch, *shape], None)
        try:
            outputs = [run(model, noise[row : row + 1]) for row in range(2)]
            if batch == 1 or np.allclose(run(model, noise), np.concatenate(outputs), rtol=1e-3, atol=1e-4):
                declare(model, [batch, *shape], [batch, *outputs[0].shape[1:]])
                return
        except Exception as error:  # ONNX Runtime's own classes share no narrower base
            failure = str(error)
    raise RecipeError(f"The graph does not run on an image of {shape[2]} x {shape[1]}: {failure[:300]}")


def declare(model: onnx.ModelProto, pixels: Sequence[int | str], output: Sequence[int | str] | None) -> None:
    """Set the shapes of the input `pixels` and of the output `found`."""
    graph = model.graph
    del graph.input[:], graph.output[:]
    graph.input.append(helper.make_tensor_value_info("pixels", TensorProto.FLOAT, pixels))
    graph.output.append(helper.make_tensor_value_info("found", TensorProto.FLOAT, output))


def run(model: onnx.ModelProto, pixels: np.ndarray) -> np.ndarray:
    output: np.ndarray = session(model).run(["found"], {"pixels": pixels})[0]
    return output
