from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from hearth_build.importing.base import Notes
from hearth_build.importing.segmenter_outputs import OUTPUT, to_logits
from hearth_build.recipe import RecipeError

NUMBERS = np.array([[[0, 2], [1, 2]]])
SCORES = np.random.default_rng(0).normal(size=(1, 3, 2, 2)).astype(np.float32)


def converted(output: np.ndarray[Any, Any], labels: int) -> np.ndarray[Any, Any]:
    kind = helper.np_dtype_to_tensor_dtype(output.dtype)
    edges = [helper.make_tensor_value_info(name, kind, output.shape) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "graph", edges[:1], edges[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    to_logits(model, "y", output, labels, Notes())
    onnx.checker.check_model(model)
    assert model.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run([OUTPUT], {"x": output})[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("form", [NUMBERS, NUMBERS[:, None], NUMBERS.astype(np.int32)])
def test_numbers_of_labels_become_scores(form: np.ndarray[Any, Any]) -> None:
    assert converted(form, 3).argmax(1).tolist() == NUMBERS.tolist()


def test_scores_have_their_labels_first() -> None:
    np.testing.assert_array_equal(converted(SCORES, 3), SCORES)
    np.testing.assert_array_equal(converted(SCORES.transpose(0, 2, 3, 1), 3), SCORES)


@pytest.mark.parametrize(("low", "middle"), [(0.0, 0.5), (-1.0, 0.0)])
def test_one_map_is_that_of_the_second_label(low: float, middle: float) -> None:
    one = np.array([[[[low, 0.2, 0.4], [0.6, 0.7, 1.0]]]], np.float32)
    assert converted(one, 2).argmax(1).tolist() == (one[:, 0] > middle).astype(int).tolist()


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"Output y is \[1, 3, 2, 2\], which does not fit 5 labels"):
        converted(SCORES, 5)
