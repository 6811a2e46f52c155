"""int8: every lookup of a table reads the small one; nothing is made fp32 for its shape alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from hearth_build.onnx_export import export
from hearth_build.onnx_export.quantize import quantize, quantize_embeddings
from hearth_build.recipe import StaticInt8

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
    made_graph = helper.make_graph(nodes, "main", inputs, made, [numpy_helper.from_array(table, "table")])
    model = helper.make_model(made_graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    feeds = {name: np.arange(COLUMNS)[:: -1 if name == "second" else 1].copy() for name in ("first", "second")}
    wanted = outputs(model, feeds)
    quantize_embeddings(model, COLUMNS)
    for one, other in zip(outputs(model, feeds), wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=0.1 if other.shape[-1] == COLUMNS else 0.02)
    kept = [tensor.name for tensor in model.graph.initializer]
    assert sorted(kept) == sorted(["table.int8", "table.scale", *["table"] * tied])


class Halves(torch.nn.Module):
    """Half of a convolution's channels through another one; their number is asked of the tensor, as a chunk does."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(3, 16, 3), torch.nn.Conv2d(8, 8, 3)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        one, other = self.first(pixels).relu().chunk(2, 1)
        return self.second(one) + other[:, :, 1:-1, 1:-1]


def test_a_shape_is_asked_of_what_is_int8(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, pixels = Halves().eval(), torch.rand(2, 3, 20, 24)
    export.traced(lambda: {"pixels": pixels}, {"pixels": {0: "batch"}})(network, tmp_path / "raw.onnx")
    how = StaticInt8(calibration=lambda work: [{"pixels": pixels}])
    quantize(how, tmp_path, tmp_path / "raw.onnx", tmp_path / "small.onnx")
    small = onnx.load(tmp_path / "small.onnx")
    makers = {name: node.op_type for node in small.graph.node for name in node.output}
    asked = [makers.get(node.input[0]) for node in small.graph.node if node.op_type == "Shape"]
    assert asked == ["QuantizeLinear"]
    (found,) = outputs(small, {"pixels": pixels.numpy()})
    np.testing.assert_allclose(found, network(pixels).detach().numpy(), atol=0.03)
