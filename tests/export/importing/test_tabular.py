from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hearth_build.importing.base import ImportOptions
from hearth_build.importing.source import open_file
from hearth_build.importing.tabular import accepts, read
from hearth_build.recipe import RecipeError


def save(folder: Path, width: int | str = 3, outputs: int = 1, rank: int = 2) -> Any:
    """A linear model of a table as a graph."""
    matrix = np.ones((width if isinstance(width, int) else 3, outputs), np.float32)
    shape: list[Any] = ["rows", width][:rank] if rank < 3 else ["rows", width, 1]
    edges = [
        helper.make_tensor_value_info("Table", TensorProto.FLOAT, shape),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", outputs]),
    ]
    node = helper.make_node("MatMul", ["Table", "w"], ["y"])
    graph = helper.make_graph([node], "graph", edges[:1], edges[1:], [numpy_helper.from_array(matrix, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "table.onnx")
    return open_file(folder / "table.onnx")


REGRESSION = ImportOptions(task="tabular-regression")


def test_columns_have_names_that_may_be_given(tmp_path: Path) -> None:
    imported = read(save(tmp_path), REGRESSION)
    assert [column.name for column in imported.recipe.preprocessing.columns] == ["table0", "table1", "table2"]
    assert any("the names of the columns" in line for line in imported.lines)
    options = ImportOptions(task="tabular-regression", columns="age,hours,rooms")
    assert read(save(tmp_path), options).recipe.preprocessing.columns[0].name == "age"
    with pytest.raises(RecipeError, match="--columns has 2 different names; the graph has 3 columns"):
        read(save(tmp_path), ImportOptions(task="tabular-regression", columns="age,age,rooms"))


def test_a_graph_that_does_not_say_its_columns_asks_for_them(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="--columns NAMES: the graph does not say how many columns Table has"):
        read(save(tmp_path, width="columns"), REGRESSION)


def test_one_score_becomes_those_of_two_labels(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("no\nyes\n")
    options = ImportOptions(task="tabular-classification", labels=tmp_path / "labels.txt")
    imported = read(save(tmp_path), options)
    assert imported.recipe.labels == ("no", "yes")
    imported.recipe.graphs["main"](None, tmp_path / "main.onnx")
    shape = onnx.load(tmp_path / "main.onnx").graph.output[0].type.tensor_type.shape
    assert shape.dim[1].dim_value == 2
    with pytest.raises(RecipeError, match="Output y has 3 scores, but there are 2 labels"):
        read(save(tmp_path, outputs=3), options)


def test_a_graph_of_another_form_is_no_table(tmp_path: Path) -> None:
    source = save(tmp_path)
    assert accepts(source, REGRESSION)
    assert not accepts(source, ImportOptions()), "a matrix product alone may be anything"
    assert not accepts(source, ImportOptions(task="tensors"))
