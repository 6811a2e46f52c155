from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from hearth_build.recipes.yolox_nano_coco import recipe


def test_each_class_of_coco_is_named_once() -> None:
    assert len(set(recipe.LABELS)) == len(recipe.LABELS) == 80
    assert (recipe.LABELS[0], recipe.LABELS[-1]) == ("person", "toothbrush")


def test_the_published_graph_gets_the_names_that_the_runtime_feeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = [1, 3, recipe.SIDE, recipe.SIDE]
    sizes = {"images": shape, "output": [1, recipe.SIDE, recipe.SIDE]}
    edges = [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in sizes.items()]
    node = helper.make_node("ReduceMean", ["images"], ["output"], axes=[1], keepdims=0)
    graph = helper.make_graph([node], "graph", edges[:1], edges[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / "a.onnx")
    monkeypatch.setattr(recipe, "WEIGHTS", SimpleNamespace(file=lambda: tmp_path / "a.onnx"))
    recipe.write(None, tmp_path / "main.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "main.onnx"), providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).random(shape, np.float32)
    np.testing.assert_allclose(session.run(["found"], {"pixels": pixels})[0], pixels.mean(1), rtol=1e-4)
