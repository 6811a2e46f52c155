"""The operator sets that a graph uses; it may import more of them, as the graphs do that ONNX Runtime wrote."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

BUILT_IN = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
"""Those that ONNX Runtime has built in."""


def custom_domains(model: Any) -> set[str]:
    """The domains of operators that ONNX Runtime does not have, in the graph, its subgraphs and its functions."""
    import onnx

    kinds = onnx.NodeProto | onnx.FunctionProto
    return {message.domain for message in submessages(model) if isinstance(message, kinds)} - BUILT_IN


def submessages(message: Any) -> Iterator[Any]:
    """Yield every message nested in a message of protocol buffers, at any depth."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for submessage in value if field.is_repeated else [value]:
                yield submessage
                yield from submessages(submessage)
