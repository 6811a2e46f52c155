"""A graph of two operators, as an ONNX file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 32


def write_graph(path: Path, shape: tuple[int, ...] = (1, 3, SIDE, SIDE), kind: int = TensorProto.FLOAT) -> Path:
    """Three scores of a picture, or of any tensor of this shape."""
    size = int(np.prod(shape[1:]))
    weight = np.random.default_rng(0).normal(size=(size, 3)).astype(np.float32)
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    nodes = [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["logits"])]
    values = [helper.make_tensor_value_info("x", kind, shape)]
    results = [helper.make_tensor_value_info("logits", kind, [shape[0], 3])]
    graph = helper.make_graph(nodes, "graph", values, results, [numpy_helper.from_array(weight.astype(dtype), "w")])
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path
