from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from hearth_build.onnx_export.graph_file import PAGE, GraphFile, tensor_info

WEIGHTS = np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32)


def write(path: Path) -> None:
    with GraphFile(path) as graph:
        x = graph.node("Add", "x", graph.constant("bias", np.ones(40, np.float32)))
        for name in ("weights", "other", "weights"):
            x = graph.node("MatMul", x, graph.constant(name, WEIGHTS if name == "weights" else WEIGHTS.T))
        assert graph.has("weights")
        assert not graph.has("missing")
        graph.node("Identity", x, name="y")
        assert not path.exists(), "a graph that is not complete"
        graph.save([tensor_info("x", "float32", (None, 40))], [tensor_info("y", "float32", (None, 30))])


def test_weights_are_written_once_at_pages_of_their_own(tmp_path: Path) -> None:
    write(tmp_path / "model.onnx")
    tensors = onnx.load(tmp_path / "model.onnx", load_external_data=False).graph.initializer
    places = {tensor.name: {entry.key: entry.value for entry in tensor.external_data} for tensor in tensors}
    assert places["bias"] == {}, "small ones stay in the graph"
    assert [int(places[name]["offset"]) for name in ("weights", "other")] == [0, 2 * PAGE]
    assert (tmp_path / "model.bin").stat().st_size == 2 * PAGE + WEIGHTS.nbytes


def test_the_graph_computes_what_was_written(tmp_path: Path) -> None:
    write(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).normal(size=(3, 40)).astype(np.float32)
    expected = (x + 1) @ WEIGHTS @ WEIGHTS.T @ WEIGHTS
    np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, rtol=1e-3, atol=1e-3)
