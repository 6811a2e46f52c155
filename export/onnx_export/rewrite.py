"""The few nodes that make an ONNX file from elsewhere fit the runtime.

The runtime feeds float32 pixels in NCHW and reads one tensor; whatever else a graph wants is put into the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, version_converter

from hearth.models.manifest import Tensor
from hearth_build.onnx_export.export import OPSET
from hearth_build.onnx_export.file import contents
from hearth_build.recipe import RecipeError

PER_CHANNEL = 13
"""The first opset in which a quantized tensor may have a scale a channel."""


@dataclass(frozen=True)
class Changes:
    """What is put before and behind a graph."""

    input: str
    output: str
    canvas: tuple[int, int]
    """(width, height)."""
    channels_last: bool = False
    """The graph wants (batch, height, width, 3)."""
    columns_first: bool = False
    """A detector that answers (batch, columns, n)."""
    flatten: bool = False
    """A classifier that answers (batch, classes, 1, 1)."""
    logits: int = 0
    """From this column on a detector answers in logits, which get their sigmoid; 0: nowhere."""


def adapted(model: onnx.ModelProto, changes: Changes) -> onnx.ModelProto:
    """The graph from `pixels`, float32 NCHW, to `found`, float32. Its batch is free where the graph takes any.

    Raises RecipeError where the graph cannot be raised to an opset that int8 needs, or does not run."""
    made = raised(model)
    graph = made.graph
    given = next(one for one in graph.input if one.name == changes.input)
    kind = given.type.tensor_type.elem_type
    for node in graph.node:
        rename(node.input, {changes.input: "pixels.given", changes.output: "found.given"})
        rename(node.output, {changes.output: "found.given"})
    before = Chain("pixels")
    if changes.channels_last:
        before.add("Transpose", perm=[0, 2, 3, 1])
    if kind != TensorProto.FLOAT:
        before.add("Cast", to=kind)
    before.end("pixels.given")
    behind = Chain("found.given")
    if changes.flatten:
        behind.add("Flatten")
    if changes.columns_first:
        behind.add("Transpose", perm=[0, 2, 1])
    if kind == TensorProto.FLOAT16:
        behind.add("Cast", to=TensorProto.FLOAT)
    if changes.logits:
        behind.squash(graph, changes.logits)
    behind.end("found")
    nodes = [*before.nodes, *graph.node, *behind.nodes]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    close(made, changes.canvas)
    return made


def settled(model: onnx.ModelProto, given: Tensor, shape: Sequence[int]) -> dict[str, tuple[int | str, ...]]:
    """Each output's shape, where the graph leaves sizes open, as it is for an input of this shape; the batch stays.

    Raises RecipeError where the graph does not run."""
    named = [one.name for one in model.graph.output]
    try:
        found = session(model).run(named, {given.name: np.zeros(shape, given.dtype)})
    except Exception as error:  # ONNX Runtime's own classes share no narrower base
        raise RecipeError(f"The graph does not run on an input of {list(shape)}: {str(error)[:300]}") from None
    shapes = {one.name: one.shape for one in contents(model).outputs}
    return {name: (*shapes[name][:1], *np.asarray(value).shape[1:]) for name, value in zip(named, found, strict=True)}


def session(model: onnx.ModelProto) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def ends(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the last convolutions and of all that joins their answers, which differ too much in range for int8."""
    makers = {name: node for node in model.graph.node for name in node.output}
    found: dict[str, None] = {}
    waiting = [one.name for one in model.graph.output]
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and node.name not in found:
            found[node.name] = None
            if node.op_type != "Conv":
                waiting += node.input
    return tuple(found)


def rename(names: Any, table: dict[str, str]) -> None:
    for place, name in enumerate(names):
        names[place] = table.get(name, name)


class Chain:
    """Nodes one after another, from a tensor on."""

    def __init__(self, start: str) -> None:
        self.start = self.name = start
        self.nodes: list[onnx.NodeProto] = []

    def add(self, operator: str, *more: str, **attributes: Any) -> None:
        result = f"{self.start}.{len(self.nodes)}"
        node = helper.make_node(
            operator, [self.name, *more], [result], f"{self.start}/{operator}_{len(self.nodes)}", **attributes
        )
        self.nodes.append(node)
        self.name = result

    def squash(self, graph: onnx.GraphProto, column: int) -> None:
        """A sigmoid from the column on."""
        whole = self.name
        for name, value in (("zero", 0), ("column", column), ("end", 2**31 - 1), ("axis", 2)):
            graph.initializer.append(helper.make_tensor(f"{self.start}.{name}", TensorProto.INT64, [1], [value]))
        names = [f"{self.start}.{name}" for name in ("zero", "column", "end", "axis")]
        self.add("Slice", names[0], names[1], names[3])
        boxes, self.name = self.name, whole
        self.add("Slice", names[1], names[2], names[3])
        self.add("Sigmoid")
        scores, self.name = self.name, boxes
        self.add("Concat", scores, axis=2)

    def end(self, name: str) -> None:
        self.nodes.append(helper.make_node("Identity", [self.name], [name], f"{self.start}/Identity"))


def raised(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy, of an opset that int8 needs."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    version = contents(model).opset
    if version >= PER_CHANNEL:
        return made
    try:
        return version_converter.convert_version(made, OPSET)
    except Exception as error:  # the converter raises RuntimeError and worse
        raise RecipeError(
            f"The graph has opset {version} and cannot be raised to {OPSET} ({str(error)[:120]}). "
            f"Export it anew, with opset {OPSET}."
        ) from None


def close(model: onnx.ModelProto, canvas: tuple[int, int]) -> None:
    """Give the graph its input and output, with a free batch where two pictures together answer as they do alone."""
    noise = np.random.default_rng(0).random((2, 3, canvas[1], canvas[0]), np.float32)
    for batch in ("batch", 1):
        describe(model, [batch, 3, canvas[1], canvas[0]], None)
        try:
            alone = [run(model, noise[row : row + 1]) for row in range(2)]
            if batch == 1 or np.allclose(run(model, noise), np.concatenate(alone), rtol=1e-3, atol=1e-4):
                describe(model, [batch, 3, canvas[1], canvas[0]], [batch, *alone[0].shape[1:]])
                return
        except Exception as error:  # ONNX Runtime's own classes share no narrower base
            failure = str(error)
    raise RecipeError(f"The graph does not run on a picture of {canvas[0]} x {canvas[1]}: {failure[:300]}")


def describe(model: onnx.ModelProto, pixels: Sequence[int | str], found: Sequence[int | str] | None) -> None:
    graph = model.graph
    del graph.input[:], graph.output[:]
    graph.input.append(helper.make_tensor_value_info("pixels", TensorProto.FLOAT, pixels))
    graph.output.append(helper.make_tensor_value_info("found", TensorProto.FLOAT, found))


def run(model: onnx.ModelProto, pixels: np.ndarray) -> np.ndarray:
    found: np.ndarray = session(model).run(["found"], {"pixels": pixels})[0]
    return found
