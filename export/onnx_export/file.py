"""What is in an ONNX file from elsewhere."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import onnx

from hearth.models.manifest import Tensor
from hearth_build.onnx_export.export import tensor
from hearth_build.recipe import RecipeError


@dataclass(frozen=True)
class Contents:
    """What a graph says of itself."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    opset: int
    producer: str
    operators: Counter[str]
    last: dict[str, str]
    """The operator that makes each output."""
    notes: dict[str, str]
    bytes: int

    def lines(self) -> list[str]:
        common = ", ".join(f"{count} {name}" for name, count in self.operators.most_common(6))
        return [
            *(f"input   {one.name}: {one.dtype} {shape(one)}" for one in self.inputs),
            *(
                f"output  {one.name}: {one.dtype} {shape(one)}, by {self.last.get(one.name, '?')}"
                for one in self.outputs
            ),
            f"graph   opset {self.opset}, {sum(self.operators.values())} nodes ({common}), {self.bytes / 1e6:.1f} MB"
            + (f", from {self.producer}" if self.producer else ""),
        ]


def shape(one: Tensor) -> str:
    return f"[{', '.join(str(size or '?') for size in one.shape)}]"


def load(path: Path) -> onnx.ModelProto:
    """Raises RecipeError: not an ONNX file, or one that the runtime could not run."""
    if not path.is_file():
        raise RecipeError(f"{path} does not exist. Name an .onnx file.")
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf's and the checker's own classes share no narrower base
        raise RecipeError(f"{path} is not a sound ONNX file: {str(error).splitlines()[0][:200]}") from None
    foreign = sorted({entry.domain for entry in model.opset_import} - {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
    if foreign:
        raise RecipeError(
            f"{path} uses operators of {', '.join(foreign)}, which ONNX Runtime lacks. Export it without."
        )
    return model


def contents(model: onnx.ModelProto) -> Contents:
    weights = {one.name for one in model.graph.initializer}
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    return Contents(
        inputs=tuple(tensor(one) for one in model.graph.input if one.name not in weights),
        outputs=tuple(tensor(one) for one in model.graph.output),
        opset=opset,
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        operators=Counter(node.op_type for node in model.graph.node),
        last={name: node.op_type for node in model.graph.node for name in node.output},
        notes={entry.key: entry.value for entry in model.metadata_props},
        bytes=model.ByteSize(),
    )
