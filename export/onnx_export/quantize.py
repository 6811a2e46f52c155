"""Quantization of weights to int8 or 4 bits; `hearth build RECIPE --step quantize` runs it.

Weights use seven of their eight bits (`reduce_range`). Without VNNI, as on many Lambda hosts, sums of products of
full-range int8 and uint8 overflow 16 bits, and outputs are wrong.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

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
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

from hearth_build.onnx_export.export import link_graph
from hearth_build.recipe import BlockInt4, DynamicInt8, GivenGraphs, NoQuantization, Quantizer, StaticInt8


def quantize(method: Quantizer, work: Path, source: Path, target: Path) -> str:
    """Write the quantized graph and return a description of the method."""
    logging.getLogger().setLevel(logging.ERROR)  # the quantizer recommends a preprocessing step that was already done
    match method:
        case NoQuantization():
            link_graph(source, target)
            return "fp32"
        case GivenGraphs():
            method.graphs["main" if source.stem == "model" else source.stem](None, target)
            return f"as it was given: {method.name}"
        case StaticInt8():
            return static_int8(method, work, source, target)
        case DynamicInt8():
            return dynamic_int8(method, source, target)
        case BlockInt4():
            return block4(method, source, target)


def static_int8(method: StaticInt8, work: Path, source: Path, target: Path) -> str:
    cleaned = target.with_suffix(".cleaned.onnx")
    quant_pre_process(str(source), str(cleaned), skip_symbolic_shape=True)
    quantize_static(
        str(cleaned),
        str(target),
        CalibrationFeeds(method.calibration(work)),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        nodes_to_exclude=matching_nodes(cleaned, method.keep),
    )
    cleaned.unlink()
    model = onnx.load(str(target))
    use_quantized_shapes(model)
    onnx.save(model, str(target))
    return "QDQ, uint8 activations, 7-bit weights per channel, ranges from training examples"


def dynamic_int8(method: DynamicInt8, source: Path, target: Path) -> str:
    embedded = write_quantized_embeddings(source, target, method.embedding_rows)
    quantize_dynamic(
        str(embedded),
        str(target),
        op_types_to_quantize=list(method.operators),
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        nodes_to_exclude=matching_nodes(embedded, method.keep),
    )
    embedded.unlink()
    model = onnx.load(str(target))
    share_embeddings(model)
    onnx.save(model, str(target))
    operators = ", ".join(method.operators)
    return f"{operators}: 7-bit weights per channel, uint8 activations while running; embeddings: 8 bits per row"


def block4(method: BlockInt4, source: Path, target: Path) -> str:
    embedded = write_quantized_embeddings(source, target, method.embedding_rows)
    # Without an accuracy level, ONNX Runtime unpacks the weights to fp32 at each step.
    quantizer = MatMulNBitsQuantizer(
        onnx.load(str(embedded)), block_size=method.block_size, is_symmetric=True, accuracy_level=4
    )
    quantizer.process()
    quantizer.model.save_model_to_file(str(target), False)
    embedded.unlink()
    blocks = f"4-bit weights in blocks of {method.block_size}"
    return f"MatMul: {blocks}, int8 activations while running; embeddings: 8 bits per row"


def write_quantized_embeddings(source: Path, target: Path, rows: int) -> Path:
    """Write the graph with quantized embeddings beside `target` and return its path."""
    embedded = target.with_suffix(".embedded.onnx")
    model = onnx.load(str(source))
    quantize_embeddings(model, rows)
    onnx.save(model, str(embedded))
    return embedded


def matching_nodes(path: Path, patterns: Sequence[str]) -> list[str]:
    """Return the names of the nodes that match one of the regular expressions."""
    graph = onnx.load(str(path), load_external_data=False).graph
    return [node.name for node in graph.node if any(re.search(pattern, node.name) for pattern in patterns)]


class CalibrationFeeds(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Sequence[dict[str, Any]]) -> None:
        self.feeds: Iterator[dict[str, Any]] = iter(feeds)

    def get_next(self) -> dict[str, np.ndarray] | None:
        feed = next(self.feeds, None)
        return None if feed is None else {name: np.asarray(value) for name, value in feed.items()}


def quantize_embeddings(model: onnx.ModelProto, rows: int) -> None:
    """Replace each Gather of a large matrix by a Gather of int8 rows times a Gather of one scale per row.

    The fp32 matrix is kept if other nodes read it too.
    """
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    quantized: set[str] = set()
    nodes = []
    for node in graph.node:
        matrix = weights.get(node.input[0]) if node.op_type == "Gather" else None
        if matrix is None or len(matrix.dims) != 2 or matrix.dims[0] < rows:
            nodes.append(node)
            continue
        name, output = matrix.name, node.output[0]
        if name not in quantized:
            values = numpy_helper.to_array(matrix)  # (rows, columns)
            scales = np.maximum(np.abs(values).max(1, keepdims=True), 1e-12).astype(np.float32) / 127
            rounded = np.round(values / scales).astype(np.int8)
            graph.initializer.append(numpy_helper.from_array(rounded, f"{name}.int8"))
            graph.initializer.append(numpy_helper.from_array(scales, f"{name}.scale"))
            quantized.add(name)
        nodes += [
            helper.make_node("Gather", [f"{name}.int8", node.input[1]], [f"{output}.int8"], axis=0),
            helper.make_node("Gather", [f"{name}.scale", node.input[1]], [f"{output}.scale"], axis=0),
            helper.make_node("Cast", [f"{output}.int8"], [f"{output}.float"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Mul", [f"{output}.float", f"{output}.scale"], [output]),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    for name in quantized - read:
        graph.initializer.remove(weights[name])


def use_quantized_shapes(model: onnx.ModelProto) -> None:
    """Let each Shape read the quantized tensor: otherwise whole tensors are dequantized only to get their shape."""
    producers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        producer = producers.get(node.input[0]) if node.op_type == "Shape" else None
        if producer is not None and producer.op_type == "DequantizeLinear":
            node.input[0] = producer.input[0]


def share_embeddings(model: onnx.ModelProto) -> None:
    """Let each Gather of a matrix's columns read the quantized matrix if a quantized MatMul has it too.

    An output matrix that is also the embedding is then stored once.
    """
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        name = node.input[0] if node.input else ""
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
        if node.op_type != "Gather" or axis != 1 or f"{name}_quantized" not in weights:
            nodes.append(node)
            continue
        output = node.output[0]
        if name in weights:
            graph.initializer.remove(weights.pop(name))
        nodes += [
            helper.make_node("Gather", [f"{name}_quantized", node.input[1]], [f"{output}.int8"], axis=1),
            helper.make_node("Gather", [f"{name}_scale", node.input[1]], [f"{output}.scale"], axis=0),
            helper.make_node("Cast", [f"{output}.int8"], [f"{output}.float"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Mul", [f"{output}.float", f"{output}.scale"], [output]),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
