from __future__ import annotations

from onnx import helper

from hearth_build.onnx_export.operator_domains import custom_domains


def test_domains_of_subgraphs_are_found_and_imports_alone_do_not_count() -> None:
    inner = helper.make_graph([helper.make_node("Custom", [], ["y"], domain="com.elsewhere")], "inner", [], [])
    node = helper.make_node("If", ["flag"], ["y"], then_branch=inner, else_branch=inner)
    known = helper.make_node("Gelu", ["x"], ["z"], domain="com.microsoft")
    opsets = [helper.make_opsetid(domain, 1) for domain in ("", "com.imported")]
    model = helper.make_model(helper.make_graph([node, known], "graph", [], []), opset_imports=opsets)
    assert custom_domains(model) == {"com.elsewhere"}
    assert custom_domains(helper.make_model(helper.make_graph([known], "graph", [], []))) == set()
