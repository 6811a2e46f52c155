"""Reads and describes ONNX files that users import."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import onnx

from hearth.models.manifest import Tensor
from hearth_build.onnx_export.export import tensor_of
from hearth_build.recipe import RecipeError


@dataclass(frozen=True)
class GraphInfo:
    """What an ONNX file says about its graph."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    opset: int
    producer: str
    operators: Counter[str]
    operator_of: dict[str, str]
    """The operator that computes each tensor, by the name of the tensor."""
    metadata: dict[str, str]
    bytes: int

    def lines(self) -> list[str]:
        """Return the description that `hearth import` prints."""
        common = ", ".join(f"{count} {name}" for name, count in self.operators.most_common(6))
        return [
            *(f"input   {tensor.name}: {tensor.dtype} {shape(tensor)}" for tensor in self.inputs),
            *(
                f"output  {tensor.name}: {tensor.dtype} {shape(tensor)}, by {self.operator_of.get(tensor.name, '?')}"
                for tensor in self.outputs
            ),
            f"graph   opset {self.opset}, {sum(self.operators.values())} nodes ({common}), {self.bytes / 1e6:.1f} MB"
            + (f", from {self.producer}" if self.producer else ""),
        ]


def shape(tensor: Tensor) -> str:
    """Format a shape, with `?` for unknown sizes."""
    return f"[{', '.join(str(size or '?') for size in tensor.shape)}]"


def load(path: Path) -> onnx.ModelProto:
    """Read an ONNX file. Raises RecipeError if it is invalid or if the runtime could not run it."""
    if not path.is_file():
        raise RecipeError(f"{path} does not exist. Give the path of an .onnx file.")
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf's and the checker's own classes share no narrower base
        raise RecipeError(f"{path} is not a valid ONNX file: {str(error).splitlines()[0][:200]}") from None
    foreign = sorted({entry.domain for entry in model.opset_import} - {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
    if foreign:
        raise RecipeError(
            f"{path} uses operators of {', '.join(foreign)}, which ONNX Runtime does not have. Export it without them."
        )
    return model


def describe(model: onnx.ModelProto) -> GraphInfo:
    weights = {tensor.name for tensor in model.graph.initializer}
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    return GraphInfo(
        inputs=tuple(tensor_of(value) for value in model.graph.input if value.name not in weights),
        outputs=tuple(tensor_of(value) for value in model.graph.output),
        opset=opset,
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        operators=Counter(node.op_type for node in model.graph.node),
        operator_of={name: node.op_type for node in model.graph.node for name in node.output},
        metadata={entry.key: entry.value for entry in model.metadata_props},
        bytes=model.ByteSize(),
    )
