"""Graphs of torch networks, their optimised form, and their quantized one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from hearth.models.manifest import parse
from hearth.models.model import Model
from hearth_build.data.text import pad
from hearth_build.networks.bert import Classifier
from hearth_build.onnx_export import export
from tests.export import toy


def test_weights_are_in_one_external_file_beside_the_graph(toy_work: Path) -> None:
    assert export.external_files(toy_work / "artifact" / "model.onnx") == {"model.bin"}
    inputs = export.describe(toy_work / "artifact").inputs
    assert [(tensor.name, tensor.dtype, tensor.shape) for tensor in inputs] == [
        ("input_ids", "int64", ("batch", "sequence")),
        ("attention_mask", "int64", ("batch", "sequence")),
    ]


def test_the_served_graph_is_int8_and_close_to_fp32_with_any_padding(toy_work: Path) -> None:
    manifest = parse((toy_work / "artifact" / "manifest.json").read_bytes())
    served, fp32 = (Model(manifest, toy_work / name, threads=1) for name in ("artifact", "fp32"))
    ids = np.array([[2, 5, 6, 15, 3], [2, 9, 3, 0, 0]])
    feeds = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}
    assert np.allclose(served.run(feeds)[0], fp32.run(feeds)[0], atol=0.3)
    alone = {"input_ids": ids[1:, :3], "attention_mask": np.ones((1, 3), np.int64)}
    assert np.allclose(fp32.run(feeds)[0][1], fp32.run(alone)[0][0], atol=1e-4)
    served = onnx.load(toy_work / "artifact" / "model.onnx", load_external_data=False)
    kinds = {node.op_type for node in served.graph.node}
    assert kinds & {"DynamicQuantizeMatMul", "MatMulIntegerToFloat"}
    weights = onnx.load(toy_work / "small-main.onnx").graph.initializer
    assert any(weight.data_type == onnx.TensorProto.INT8 and weight.dims[0] == 1040 for weight in weights)


def test_exported_attention_is_one_operator_and_equals_torchs(tmp_path: Path) -> None:
    network = Classifier(toy.SHAPE).eval()
    for weights in network.parameters():
        weights.data *= (
            20 if weights.dim() == 2 else 1
        )  # initial weights are so small that attention would not change the outputs
    example = {name: torch.ones((1, 8), dtype=torch.int64) for name in ("input_ids", "attention_mask")}
    axes = {name: {0: "batch", 1: "sequence"} for name in example}
    export.traced(lambda: example, axes)(network, tmp_path / "raw.onnx")
    export.optimise(tmp_path / "raw.onnx", tmp_path)
    kinds = [node.op_type for node in onnx.load(tmp_path / "model.onnx", load_external_data=False).graph.node]
    assert kinds.count("MultiHeadAttention") == toy.SHAPE.layers
    assert kinds.count("LayerNormalization") == 1 + 2 * toy.SHAPE.layers
    rows = pad([[2, 9, 14, 7, 11, 12, 3], [2, 8, 3], [2, 3]])
    expected = network(**rows).detach().numpy()
    assert np.ptp(expected, axis=0).max() > 1e-3  # the rows differ, so that a missing mask would be noticed
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (actual,) = session.run(None, {name: value.numpy() for name, value in rows.items()})
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
