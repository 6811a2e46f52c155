"""int8 quantization: every lookup reads the quantized table; no tensor is dequantized only to read its shape."""

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


def run(model: onnx.ModelProto, feeds: dict[str, Any]) -> list[Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)  # type: ignore[no-any-return]


@pytest.mark.parametrize("tied", [False, True])
def test_a_table_with_several_lookups_is_stored_once(tied: bool) -> None:
    table = np.random.default_rng(0).normal(size=(ROWS, COLUMNS)).astype(np.float32)
    nodes = [helper.make_node("Gather", ["table", name], [f"{name}-rows"], axis=0) for name in ("first", "second")]
    nodes += [helper.make_node("MatMul", ["first-rows", "table"], ["tied"])] if tied else []
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, [COLUMNS]) for name in ("first", "second")]
    names = ["first-rows", "second-rows", *(["tied"] if tied else [])]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
    if tied:
        table = table[:COLUMNS]
    graph = helper.make_graph(nodes, "main", inputs, outputs, [numpy_helper.from_array(table, "table")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    feeds = {name: np.arange(COLUMNS)[:: -1 if name == "second" else 1].copy() for name in ("first", "second")}
    expected = run(model, feeds)
    quantize_embeddings(model, COLUMNS)
    for actual, reference in zip(run(model, feeds), expected, strict=True):
        np.testing.assert_allclose(actual, reference, atol=0.1 if reference.shape[-1] == COLUMNS else 0.02)
    initializers = [tensor.name for tensor in model.graph.initializer]
    assert sorted(initializers) == sorted(["table.int8", "table.scale", *(["table"] if tied else [])])


class Halves(torch.nn.Module):
    """Half of a convolution's channels go through another one; `chunk` reads their number from the tensor's shape."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(3, 16, 3), torch.nn.Conv2d(8, 8, 3)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        half, other_half = self.first(pixels).relu().chunk(2, 1)
        return self.second(half) + other_half[:, :, 1:-1, 1:-1]


def test_a_shape_is_read_from_the_int8_tensor(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, pixels = Halves().eval(), torch.rand(2, 3, 20, 24)
    export.traced(lambda: {"pixels": pixels}, {"pixels": {0: "batch"}})(network, tmp_path / "raw.onnx")
    quantization = StaticInt8(calibration=lambda work: [{"pixels": pixels}])
    quantize(quantization, tmp_path, tmp_path / "raw.onnx", tmp_path / "small.onnx")
    quantized = onnx.load(tmp_path / "small.onnx")
    operators = {name: node.op_type for node in quantized.graph.node for name in node.output}
    sources = [operators.get(node.input[0]) for node in quantized.graph.node if node.op_type == "Shape"]
    assert sources == ["QuantizeLinear"]
    (actual,) = run(quantized, {"pixels": pixels.numpy()})
    np.testing.assert_allclose(actual, network(pixels).detach().numpy(), atol=0.03)
