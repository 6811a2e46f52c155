"""Reads and describes ONNX files that users import."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx.inliner
from onnx.external_data_helper import _get_all_tensors, uses_external_data

from hearth.models.manifest import Tensor
from hearth_build.onnx_export.export import tensor_of
from hearth_build.onnx_export.operator_domains import custom_domains
from hearth_build.recipe import RecipeError

PROTOBUF_BYTES = 2**31
"""Larger graphs cannot be serialised, so the checker does not read them."""


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


def read(path: Path) -> onnx.ModelProto:
    """Read an ONNX file with its weights, which may lie in files beside it.

    onnx.load refuses links, which the cache of the Hugging Face hub is made of. Raises ValueError for weights that are
    missing or that lie outside the folder.
    """
    model = onnx.load(str(path), load_external_data=False)
    for tensor in _get_all_tensors(model):
        if uses_external_data(tensor):
            load_weight(tensor, path.parent)
    return model


def load_weight(tensor: onnx.TensorProto, folder: Path) -> None:
    """Put the bytes of a weight into the graph."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = Path(entries["location"])
    if location.is_absolute() or ".." in location.parts:
        raise ValueError(f"the weight {tensor.name} lies outside the folder, in {location}")
    if not (folder / location).is_file():
        raise ValueError(f"the weights in {location} are missing beside it; copy that file too")
    offset, length = int(entries.get("offset", 0)), int(entries.get("length", -1))
    with (folder / location).open("rb") as stream:
        stream.seek(offset)
        tensor.raw_data = stream.read(length)
    if 0 <= length != len(tensor.raw_data):
        raise ValueError(f"{location} is truncated: the weight {tensor.name} is cut off")
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]


def load(path: Path) -> onnx.ModelProto:
    """Read an ONNX file. Raises RecipeError if it is invalid or if the runtime could not run it."""
    if not path.is_file():
        raise RecipeError(f"{path} does not exist. Give the path of an .onnx file.")
    try:
        model = read(path)
        if model.ByteSize() < PROTOBUF_BYTES:
            onnx.checker.check_model(model)
    except Exception as error:  # protobuf's and the checker's own classes share no narrower base
        raise RecipeError(f"{path} is not a valid ONNX file: {str(error).splitlines()[0][:200]}") from None
    if model.functions:  # as torch's exporter writes them; operators of their own afterwards
        model = onnx.inliner.inline_local_functions(model)
    if custom := custom_domains(model):
        raise RecipeError(
            f"{path} uses operators of {', '.join(sorted(custom))}, which ONNX Runtime does not have. Export it "
            "without them."
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
