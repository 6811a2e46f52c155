from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from hearth_build.importing.picture_graphs import detection_graph, feature_graph, measure_scale, picture_graph
from hearth_build.recipe import RecipeError

PIXELS = np.random.default_rng(0).random((2, 3, 4, 5), np.float32)


def save(folder: Path, nodes: list[Any], outputs: dict[str, list[Any]], inputs: dict[str, Any] | None = None) -> Path:
    values = [
        helper.make_tensor_value_info(name, kind, shape)
        for name, (kind, shape) in (inputs or {"pixel_values": (TensorProto.FLOAT, ["n", 3, 4, 5])}).items()
    ]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "graph", values, results), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def run(model: onnx.ModelProto, **feeds: Any) -> Any:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


def test_halves_are_fed_as_floats_and_a_mask_is_computed(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Unsqueeze", ["pixel_mask", "one"], ["mask"]),
        helper.make_node("Cast", ["mask"], ["mask.half"], to=TensorProto.FLOAT16),
        helper.make_node("Mul", ["pixel_values", "mask.half"], ["y"]),
        helper.make_node("Constant", [], ["one"], value_ints=[1]),
    ]
    nodes = [nodes[3], *nodes[:3]]
    inputs = {
        "pixel_values": (TensorProto.FLOAT16, ["n", 3, 4, 5]),
        "pixel_mask": (TensorProto.INT64, ["n", 4, 5]),
    }
    path = save(tmp_path, nodes, {"y": ["n", 3, 4, 5]}, inputs)
    model = onnx.load(path)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.save(model, path)
    graph = picture_graph(path, ("logits",))
    assert [value.name for value in graph.graph.input] == ["pixel_values"]
    output = run(graph, pixel_values=PIXELS)
    assert output.dtype == np.float32
    np.testing.assert_allclose(output, PIXELS, atol=1e-3)


def test_an_output_that_needs_other_inputs_is_refused(tmp_path: Path) -> None:
    inputs = {"pixel_values": (TensorProto.FLOAT, ["n", 3, 4, 5]), "text": (TensorProto.FLOAT, ["n", 3, 4, 5])}
    path = save(tmp_path, [helper.make_node("Add", ["pixel_values", "text"], ["y"])], {"y": ["n", 3, 4, 5]}, inputs)
    # Both inputs have four dimensions, so both would be pictures.
    model = onnx.load(path)
    model.graph.input[1].type.tensor_type.shape.dim.pop()
    onnx.save(model, path)
    with pytest.raises(RecipeError, match="The graph's y needs text too; import it with --task tensors"):
        picture_graph(path, ("logits",))


@pytest.mark.parametrize("softmax", [True, False])
def test_detections_are_boxes_with_scores_without_no_object(softmax: bool, tmp_path: Path) -> None:
    reshape = [
        helper.make_node("Constant", [], ["shape"], value_ints=[0, 3, 20]),
        helper.make_node("Reshape", ["pixel_values", "shape"], ["rows"]),
        helper.make_node("Split", ["rows", "parts"], ["pred_boxes", "logits", "rest"], axis=2),
    ]
    reshape.insert(0, helper.make_node("Constant", [], ["parts"], value_ints=[4, 3, 13]))
    path = save(tmp_path, reshape, {"pred_boxes": ["n", 3, 4], "logits": ["n", 3, 3]})
    output = run(detection_graph(path, softmax, labels=2), pixel_values=PIXELS)
    rows = PIXELS.reshape(2, 3, 20)
    scores = np.exp(rows[..., 4:7]) / np.exp(rows[..., 4:7]).sum(-1, keepdims=True)
    if not softmax:
        scores = 1 / (1 + np.exp(-rows[..., 4:7]))
    np.testing.assert_allclose(output, np.concatenate([rows[..., :4], scores[..., :2]], -1), rtol=1e-5)
    with pytest.raises(RecipeError, match="pred_boxes is needed"):
        detection_graph(save(tmp_path, [helper.make_node("Relu", ["pixel_values"], ["y"])], {"y": []}), True, 2)


def test_vectors_are_means_of_grids_and_first_tokens(tmp_path: Path) -> None:
    grid = save(
        tmp_path, [helper.make_node("Identity", ["pixel_values"], ["pooler_output"])], {"pooler_output": ["n", 3, 4, 5]}
    )
    np.testing.assert_allclose(run(feature_graph(grid), pixel_values=PIXELS), PIXELS.mean((2, 3)), rtol=1e-5)
    nodes = [
        helper.make_node("Constant", [], ["shape"], value_ints=[0, 3, 20]),
        helper.make_node("Reshape", ["pixel_values", "shape"], ["last_hidden_state"]),
    ]
    tokens = save(tmp_path, nodes, {"last_hidden_state": ["n", 3, 20]})
    np.testing.assert_array_equal(run(feature_graph(tokens), pixel_values=PIXELS), PIXELS.reshape(2, 3, 20)[:, 0])


def test_a_graph_without_logits_has_no_scale(tmp_path: Path) -> None:
    path = save(tmp_path, [helper.make_node("Relu", ["pixel_values"], ["image_embeds"])], {"image_embeds": []})
    assert measure_scale(path, (4, 5), np.ones((2, 3), np.int64)) is None
