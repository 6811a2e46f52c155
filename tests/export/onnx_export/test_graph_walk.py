from __future__ import annotations

from onnx import TensorProto, helper

from hearth_build.onnx_export.graph_walk import names_needed


def test_inputs_of_subgraphs_are_needed() -> None:
    inner = [
        helper.make_graph(
            [helper.make_node("Add", ["outer", "bias"], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
        )
        for name in ("yes", "no")
    ]
    nodes = [
        helper.make_node("Abs", ["x"], ["outer"]),
        helper.make_node("If", ["flag"], ["y"], then_branch=inner[0], else_branch=inner[1]),
        helper.make_node("Neg", ["x"], ["unused"]),
    ]
    graph = helper.make_graph(nodes, "graph", [], [])
    assert names_needed(graph, ["y"]) >= {"y", "flag", "outer", "bias", "x"}
    assert "unused" not in names_needed(graph, ["y"])
    assert names_needed(graph, ["x"]) == {"x"}
