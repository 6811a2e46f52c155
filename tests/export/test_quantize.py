"""int8 embeddings: every lookup of a table reads the small one."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.quantize import quantize_embeddings

ROWS, COLUMNS = 50, 8


def outputs(model: onnx.ModelProto, feeds: dict[str, Any]) -> list[Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)  # type: ignore[no-any-return]


@pytest.mark.parametrize("tied", [False, True])
def test_a_table_that_is_read_several_times_is_stored_once(tied: bool) -> None:
    table = np.random.default_rng(0).normal(size=(ROWS, COLUMNS)).astype(np.float32)
    nodes = [helper.make_node("Gather", ["table", name], [f"{name}-rows"], axis=0) for name in ("first", "second")]
    nodes += [helper.make_node("MatMul", ["first-rows", "table"], ["tied"])] if tied else []
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, [COLUMNS]) for name in ("first", "second")]
    names = ["first-rows", "second-rows", *["tied"] * tied]
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
    if tied:
        table = table[:COLUMNS]
    graph = helper.make_graph(nodes, "main", inputs, made, [numpy_helper.from_array(table, "table")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    feeds = {name: np.arange(COLUMNS)[:: -1 if name == "second" else 1].copy() for name in ("first", "second")}
    wanted = outputs(model, feeds)
    quantize_embeddings(model, COLUMNS)
    for one, other in zip(outputs(model, feeds), wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=0.1 if other.shape[-1] == COLUMNS else 0.02)
    kept = [tensor.name for tensor in model.graph.initializer]
    assert sorted(kept) == sorted(["table.int8", "table.scale", *["table"] * tied])
