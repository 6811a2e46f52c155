"""Writes an ONNX graph node by node. Each weight goes to the external file at once, so none stays in memory and the
2 GB limit of a protobuf message does not apply."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hearth_build.onnx_export.export import EXTERNAL_FROM, OPSET

MICROSOFT = "com.microsoft"
PAGE = 4096
"""Weights begin at pages, so that the runtime can map each of them."""


class GraphFile:
    """A context manager: the weights are in `path` with the suffix .bin, and `save` writes the graph to `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.nodes: list[onnx.NodeProto] = []
        self.value_info: list[onnx.ValueInfoProto] = []
        self._tensors: dict[str, TensorProto] = {}
        self._weights = path.with_suffix(".bin").open("wb")

    def __enter__(self) -> GraphFile:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._weights.close()

    def node(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Append a node of one output and return the name of the output, which is also the name of the node."""
        name = name or f"{operator}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def has(self, name: str) -> bool:
        """Whether there is a weight of this name."""
        return name in self._tensors

    def constant(self, name: str, values: np.ndarray) -> str:
        """Write a weight, once for each name, and return the name."""
        if name in self._tensors:
            return name
        if values.nbytes < EXTERNAL_FROM:
            self._tensors[name] = numpy_helper.from_array(np.asarray(values, order="C"), name)
            return name
        self._weights.write(bytes(-self._weights.tell() % PAGE))
        tensor = TensorProto(
            name=name,
            data_type=helper.np_dtype_to_tensor_dtype(values.dtype),
            dims=values.shape,
            data_location=TensorProto.EXTERNAL,
        )
        entries = {"location": Path(self._weights.name).name, "offset": self._weights.tell(), "length": values.nbytes}
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=str(value))
        self._weights.write(np.ascontiguousarray(values).data)
        self._tensors[name] = tensor
        return name

    def save(self, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]) -> None:
        """Write the graph; its presence means that it is complete."""
        graph = helper.make_graph(
            self.nodes, self.path.stem, inputs, outputs, list(self._tensors.values()), value_info=self.value_info
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        self._weights.flush()
        partial = self.path.with_suffix(".partial")
        partial.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())
        partial.replace(self.path)


def tensor_info(name: str, dtype: str, dims: tuple[int | str | None, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), list(dims))
