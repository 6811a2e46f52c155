"""The output of a segmentation graph as logits (batch, labels, rows, columns), whatever form the exporter wrote."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from hearth_build.importing.base import Notes
from hearth_build.recipe import RecipeError

OUTPUT = "logits.of.labels"


def to_logits(model: onnx.ModelProto, name: str, output: np.ndarray[Any, Any], labels: int, notes: Notes) -> None:
    """Make logits the only output of the graph. `output` is that of a run on noise.

    Raises RecipeError if the labels do not fit it.
    """
    shape, graph = output.shape, model.graph
    nodes: list[onnx.NodeProto] = []
    if output.dtype.kind in "iu" and labels > 1:  # the number of each pixel's label: (batch, [1,] rows, columns)
        notes.guesses.append("the graph gives the number of each pixel's label")
        numbers = helper.make_tensor(
            "labels.numbers", TensorProto.FLOAT, [1, labels, 1, 1], list(map(float, range(labels)))
        )
        form = helper.make_tensor("labels.shape", TensorProto.INT64, [4], [shape[0], 1, *shape[-2:]])
        graph.initializer.extend([numbers, form])
        nodes = [
            helper.make_node("Cast", [name], ["labels.float"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["labels.float", "labels.shape"], ["labels.given"]),
            helper.make_node("Equal", ["labels.given", "labels.numbers"], ["labels.equal"]),
            helper.make_node("Cast", ["labels.equal"], [OUTPUT], to=TensorProto.FLOAT),
        ]
    elif len(shape) == 4 and labels in (shape[1], shape[3]):
        order = [0, 1, 2, 3] if shape[1] == labels else [0, 3, 1, 2]
        nodes = [helper.make_node("Transpose", [name], [OUTPUT], perm=order)]
    elif len(shape) == 4 and labels == 2 and 1 in (shape[1], shape[3]):
        is_probability = bool(output.min() >= 0 and output.max() <= 1)
        notes.guesses.append(f"pixels above {0.5 if is_probability else 0} have the second label")
        middle = helper.make_tensor("labels.middle", TensorProto.FLOAT, [], [0.5 if is_probability else 0.0])
        graph.initializer.append(middle)
        order = [0, 1, 2, 3] if shape[1] == 1 else [0, 3, 1, 2]
        nodes = [
            helper.make_node("Transpose", [name], ["labels.map"], perm=order),
            helper.make_node("Sub", ["labels.map", "labels.middle"], ["labels.second"]),
            helper.make_node("Neg", ["labels.second"], ["labels.first"]),
            helper.make_node("Concat", ["labels.first", "labels.second"], [OUTPUT], axis=1),
        ]
    else:
        raise RecipeError(
            f"Output {name} is {list(shape)}, which does not fit {labels} labels: (batch, labels, rows, columns) is "
            "needed, or one map for two labels (background, object). For all outputs, use --task tensors."
        )
    graph.node.extend(nodes)
    kind = next(value for value in graph.output if value.name == name).type.tensor_type.elem_type
    del graph.output[:]
    kind = TensorProto.FLOAT if output.dtype.kind in "iu" else kind
    graph.output.append(helper.make_tensor_value_info(OUTPUT, kind, ["batch", labels, "rows", "columns"]))
