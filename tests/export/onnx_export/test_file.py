from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import helper

from hearth_build.onnx_export import file
from hearth_build.recipe import RecipeError
from tests.export.small_graph import write_graph


def test_weights_that_are_links_as_in_the_cache_of_the_hub_are_read(tmp_path: Path) -> None:
    original = write_graph(tmp_path / "blobs" / "graph.onnx")
    model = onnx.load(original)
    onnx.save(model, original, save_as_external_data=True, location="weights", size_threshold=0)
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "model.onnx").symlink_to(original)
    (tmp_path / "snapshot" / "weights").symlink_to(tmp_path / "blobs" / "weights")
    linked = file.load(tmp_path / "snapshot" / "model.onnx")
    assert linked.graph.initializer[0].raw_data == onnx.load(original).graph.initializer[0].raw_data
    (tmp_path / "snapshot" / "weights").unlink()
    with pytest.raises(RecipeError, match="weights in weights are missing"):
        file.load(tmp_path / "snapshot" / "model.onnx")


def test_weights_outside_the_folder_are_refused(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "folder" / "graph.onnx")
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=0)
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].external_data[0].value = "../weights"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(RecipeError, match="lies outside the folder"):
        file.load(path)


def test_functions_of_a_graph_become_its_operators(tmp_path: Path) -> None:
    """As torch's exporter writes those of its library."""
    domain, opsets = "pkg.torch", [helper.make_opsetid("", 20)]
    double = helper.make_function(domain, "Double", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], opsets)
    value = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, 3]) for name in ("x", "y")]
    node = helper.make_node("Double", ["x"], ["y"], domain=domain)
    graph = helper.make_graph([node], "graph", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[*opsets, helper.make_opsetid(domain, 1)], functions=[double])
    onnx.save(model, tmp_path / "model.onnx")
    loaded = file.load(tmp_path / "model.onnx")
    assert [node.op_type for node in loaded.graph.node] == ["Add"]
    assert not loaded.functions
    node.op_type, node.domain = "Elsewhere", "com.elsewhere"
    graph = helper.make_graph([node], "graph", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[*opsets, helper.make_opsetid("com.elsewhere", 1)])
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(RecipeError, match=r"operators of com\.elsewhere, which ONNX Runtime does not have"):
        file.load(tmp_path / "model.onnx")
