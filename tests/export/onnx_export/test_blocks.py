from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hearth.models.model import create_session
from hearth_build.onnx_export import blocks
from hearth_build.onnx_export.export import describe


def convolution(path: Path, shape: Sequence[int | str] = ("batch", 3, 32, 32), channels: int = 3) -> None:
    """Write a graph of one convolution of 16 filters."""
    weights = np.random.default_rng(1).standard_normal((16, channels, *[3] * (len(shape) - 2))).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))


@pytest.mark.parametrize(("speed", "is_marked"), [(0.0, True), (1e9, False)])
def test_a_graph_that_is_faster_in_blocks_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speed: float, is_marked: bool
) -> None:
    monkeypatch.setattr(blocks, "SPEED", speed)
    convolution(tmp_path / "model.onnx")
    blocks.measure(tmp_path / "model.onnx")
    assert describe(tmp_path).blocked is is_marked


def test_graphs_of_other_inputs_are_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "SPEED", 0.0)
    convolution(tmp_path / "model.onnx", ("batch", 3, "samples"))
    before = (tmp_path / "model.onnx").read_bytes()
    blocks.measure(tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_bytes() == before


def test_blocks_do_not_change_the_result(tmp_path: Path) -> None:
    convolution(tmp_path / "model.onnx")
    feeds = {"x": np.random.default_rng(2).standard_normal((2, 3, 32, 32)).astype(np.float32)}
    plain, blocked = (
        create_session(tmp_path / "model.onnx", 1, "cpu", blocked=blocked).run(None, feeds)[0]
        for blocked in (False, True)
    )
    assert np.abs(plain - blocked).max() < 1e-4
