"""What the outputs of a graph depend on."""

from __future__ import annotations

from collections.abc import Sequence

import onnx


def names_needed(graph: onnx.GraphProto, outputs: Sequence[str]) -> set[str]:
    """The names of all tensors that these outputs depend on, themselves included."""
    producers = {name: node for node in graph.node for name in node.output}
    needed: set[str] = set()
    pending = list(outputs)
    while pending:
        name = pending.pop()
        if name in needed:
            continue
        needed.add(name)
        if name in producers:
            pending += [*producers[name].input, *outer_names(producers[name])]
    return needed


def outer_names(node: onnx.NodeProto) -> set[str]:
    """The names that the subgraphs of a node may take from outside."""
    names: set[str] = set()
    for attribute in node.attribute:
        for inner in attribute.g.node:
            names |= set(inner.input) | outer_names(inner)
        names |= {value.name for value in attribute.g.output}
    return names
