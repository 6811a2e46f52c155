from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hearth_build.onnx_export.rewrite import Changes, adapt, last_nodes, run, upgrade_opset
from hearth_build.recipe import RecipeError

PIXELS = np.random.default_rng(0).random((2, 3, 4, 6), np.float32)


def graph(nodes: list[Any], shape: list[Any], *, opset: int = 17, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info("image", kind, shape)]
    outputs = [helper.make_tensor_value_info("y", kind, None)]
    model = helper.make_graph(nodes, "graph", inputs, outputs)
    return helper.make_model(model, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def changes(**fields: Any) -> Changes:
    return Changes(input="image", output="y", canvas=(6, 4), **fields)


def test_channels_and_numbers_are_converted() -> None:
    node = helper.make_node("ReduceMean", ["image"], ["y"], axes=[1, 2], keepdims=0)  # of the height and the width
    model = graph([node], ["n", 4, 6, 3], kind=TensorProto.DOUBLE)
    adapted = adapt(model, changes(channels_last=True))
    np.testing.assert_allclose(run(adapted, PIXELS), PIXELS.mean((2, 3)), rtol=1e-5)
    assert adapted.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert adapted.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT


def test_outputs_of_detectors_are_turned_cut_and_made_scores() -> None:
    shape = helper.make_node("Constant", [], ["shape"], value_ints=[0, 6, -1])
    node = helper.make_node("Reshape", ["image", "shape"], ["y"])  # (n, 6 columns, 12)
    adapted = adapt(graph([shape, node], ["n", 3, 4, 6]), changes(columns_first=True, columns=5, logits=4))
    expected = PIXELS.reshape(2, 6, 12).transpose(0, 2, 1)[:, :, :5].copy()
    expected[:, :, 4:] = 1 / (1 + np.exp(-expected[:, :, 4:]))
    np.testing.assert_allclose(run(adapted, PIXELS), expected, rtol=1e-5)


def test_a_graph_that_mixes_images_keeps_a_batch_of_one() -> None:
    node = helper.make_node("Softmax", ["image"], ["y"], axis=0)
    adapted = adapt(graph([node], [1, 3, 4, 6]), changes(flatten=True))
    assert adapted.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1


def test_a_graph_that_does_not_run_says_so() -> None:
    kernel = helper.make_tensor("kernel", TensorProto.FLOAT, [1, 7, 1, 1], [1.0] * 7)  # seven channels
    model = graph([helper.make_node("Conv", ["image", "kernel"], ["y"])], ["n", 3, 4, 6])
    model.graph.initializer.append(kernel)
    with pytest.raises(RecipeError, match="does not run on an image of 6 x 4"):
        adapt(model, changes())


def test_old_operator_sets_are_converted_or_refused() -> None:
    old = graph([helper.make_node("Relu", ["image"], ["y"])], [1, 3, 4, 6], opset=9)
    assert upgrade_opset(old).opset_import[0].version == 17
    assert old.opset_import[0].version == 9
    unknown = graph([helper.make_node("Upsample", ["image"], ["y"], height_scale=2.0)], [1, 3, 4, 6], opset=1)
    with pytest.raises(RecipeError, match="has opset 1 and cannot be converted to 17"):
        upgrade_opset(unknown)


def test_the_last_convolutions_and_what_follows_them_are_named() -> None:
    nodes = [
        helper.make_node("Conv", ["image", "k"], ["a"], "first"),
        helper.make_node("Conv", ["a", "k"], ["b"], "second"),
        helper.make_node("Relu", ["b"], ["y"], "end"),
    ]
    assert last_nodes(graph(nodes, [1, 3, 4, 6])) == ("end", "second")
