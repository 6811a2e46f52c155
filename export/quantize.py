"""int8 weights; `hearth build RECIPE --step quantize` runs it.

Weights get seven of their eight bits (`reduce_range`): without VNNI, as on many a Lambda host, the sums of products of
full-range int8 and uint8 overflow their 16 bits and answers go wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quant_pre_process,
    quantize_dynamic,
    quantize_static,
)
from torch import Tensor

from export.recipe import Recipe, StaticInt8

EMBEDDING_ROWS = 1000
"""A Gather of a matrix with so many rows is an embedding that is worth quantizing."""


def quantize(recipe: Recipe, work: Path, source: Path, target: Path) -> str:
    """Write the quantized graph and return its method in words."""
    logging.getLogger().setLevel(logging.ERROR)  # the quantizer advises a step that was taken already
    if isinstance(recipe.quantization, StaticInt8):
        cleaned = target.with_suffix(".cleaned.onnx")
        quant_pre_process(str(source), str(cleaned), skip_symbolic_shape=True)
        quantize_static(
            str(cleaned),
            str(target),
            Feeds(recipe.quantization.calibration(work)),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
        )
        cleaned.unlink()
        return "QDQ, uint8 activations, 7-bit weights per channel, ranges from training examples"
    embedded = target.with_suffix(".embedded.onnx")
    model = onnx.load(str(source))
    quantize_embeddings(model)
    onnx.save(model, str(embedded))
    quantize_dynamic(
        str(embedded),
        str(target),
        op_types_to_quantize=["MatMul"],
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
    )
    embedded.unlink()
    return "MatMul: 7-bit weights per channel, uint8 activations while running; embeddings: 8 bits per row"


class Feeds(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Sequence[dict[str, Tensor]]) -> None:
        self.feeds: Iterator[dict[str, Tensor]] = iter(feeds)

    def get_next(self) -> dict[str, np.ndarray] | None:
        feed = next(self.feeds, None)
        return None if feed is None else {name: value.numpy() for name, value in feed.items()}


def quantize_embeddings(model: onnx.ModelProto) -> None:
    """Each Gather of a large matrix becomes a Gather of int8 rows times a Gather of one scale per row."""
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        matrix = weights.get(node.input[0]) if node.op_type == "Gather" else None
        if matrix is None or len(matrix.dims) != 2 or matrix.dims[0] < EMBEDDING_ROWS:
            nodes.append(node)
            continue
        values = numpy_helper.to_array(matrix)  # (rows, columns)
        scales = np.maximum(np.abs(values).max(1, keepdims=True), 1e-12).astype(np.float32) / 127
        rounded = np.round(values / scales).astype(np.int8)
        name, output = matrix.name, node.output[0]
        graph.initializer.remove(matrix)
        graph.initializer.append(numpy_helper.from_array(rounded, f"{name}.int8"))
        graph.initializer.append(numpy_helper.from_array(scales, f"{name}.scale"))
        nodes += [
            helper.make_node("Gather", [f"{name}.int8", node.input[1]], [f"{output}.int8"], axis=0),
            helper.make_node("Gather", [f"{name}.scale", node.input[1]], [f"{output}.scale"], axis=0),
            helper.make_node("Cast", [f"{output}.int8"], [f"{output}.float"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Mul", [f"{output}.float", f"{output}.scale"], [output]),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
