"""The matrix products of a decoder's graph at each precision.

`int8` has seven-bit weights with a scale per output and activations with a scale per token: a token's result does not
depend on which others are read with it. `int4` has blocks of 32 weights with one scale, rounded for the inputs of a
text where they are known. In both, embedding and output matrix have 8-bit blocks: they matter most, and a tied matrix
is stored once. Speeds are compared by `hearth bench large`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from onnx import TensorProto

from hearth_build.onnx_export.calibrated_rounding import round_calibrated
from hearth_build.onnx_export.graph_file import MICROSOFT, GraphFile, tensor_info
from hearth_build.onnx_export.matrices import blockwise, int8_per_row, packed_blocks

Precision = Literal["fp32", "int8", "int4"]
Inputs = Callable[[str], "np.ndarray | None"]
"""Name of a matrix -> its inputs in a text (tokens, inputs); None where they are not known."""
BLOCK = 32
"""Weights of one scale."""
INTEGER_ACTIVATIONS = 4
"""MatMulNBits' accuracy level for activations of 8 bits; without it ONNX Runtime unpacks the weights at each step."""
DETAILS = {
    "fp32": "fp32",
    "int8": "MatMul: 7-bit weights per output, 8-bit activations per token; embedding and output: 8-bit blocks of 32",
    "int4": "MatMul: 4-bit weights in blocks of 32, rounded by the inputs of a text, 8-bit activations while running; "
    "embedding and output: 8-bit blocks of 32",
}


class Matrices:
    def __init__(self, graph: GraphFile, precision: Precision, inputs: Inputs) -> None:
        self.graph, self.precision, self.inputs = graph, precision, inputs
        self._activations: dict[str, tuple[str, str]] = {}
        """Quantized activations and their scales, by input: query, key and value share them."""

    def product(self, name: str, matrix: np.ndarray, x: str) -> str:
        """Write x @ matrix.T for a matrix (outputs, inputs)."""
        match self.precision:
            case "fp32":
                # The quantizer needs the type and cannot infer it past Microsoft's operators.
                self.graph.value_info.append(tensor_info(name, "float32", (1, None, len(matrix))))
                return self.graph.node("MatMul", x, self.graph.constant(f"{name}.weight", matrix.T), name=name)
            case "int8":
                return self.int8(name, matrix, x)
            case "int4":
                return self.blocks(name, matrix, x, 4)

    def output(self, name: str, matrix: np.ndarray, x: str) -> str:
        """Write the logits (1, k, vocabulary); `name` is that of the embedding where it is the output matrix."""
        if self.precision != "fp32":
            return self.blocks(name, matrix, x, 8)
        if name != "tokens":
            return self.product(name, matrix, x)
        rows = self.graph.node("Squeeze", x, self.graph.constant("axis", np.array([0])))
        logits = self.graph.node("Gemm", rows, self.graph.constant("tokens.weight", matrix), transB=1)
        return self.graph.node("Unsqueeze", logits, self.graph.constant("axis", np.array([0])))

    def embedding(self, name: str, matrix: np.ndarray, ids: str) -> str:
        """Write the lookup of token ids (1, n), which gives (1, n, width)."""
        graph = self.graph
        if self.precision == "fp32":
            return graph.node("Gather", graph.constant(name, matrix), ids, axis=0)
        stem, width = name.removesuffix(".weight"), matrix.shape[1]
        codes, scales = self.stored_blocks(stem, matrix, 8)
        values = graph.node("Cast", graph.node("Gather", codes, ids, axis=0), to=TensorProto.FLOAT)
        values = graph.node("Sub", values, graph.constant("zero_point", np.array(128, np.float32)))
        blocks = -(-width // BLOCK)
        scale = graph.node("Gather", scales, ids, axis=0)
        scale = graph.node("Unsqueeze", scale, graph.constant("scale_axis", np.array([3])))  # (1, n, blocks, 1)
        values = graph.node("Mul", values, scale)
        x = graph.node("Reshape", values, graph.constant("embedding_shape", np.array([1, -1, blocks * BLOCK])))
        if blocks * BLOCK == width:
            return x
        ends = [graph.constant(f"width_{key}", np.array([value])) for key, value in (("start", 0), ("end", width))]
        return graph.node("Slice", x, *ends, graph.constant("width_axis", np.array([2])))

    def int8(self, name: str, matrix: np.ndarray, x: str) -> str:
        graph = self.graph
        codes, peak = self.activations(x)
        rounded, scales = int8_per_row(matrix)
        inputs = [
            codes,
            graph.constant(f"{name}.codes", np.ascontiguousarray(rounded.T)),
            graph.constant("activation_scale", np.array(1 / 127, np.float32)),
            graph.constant(f"{name}.scales", scales),
            graph.constant("activation_zero", np.array(128, np.uint8)),
            graph.constant(f"zeros_{len(matrix)}", np.zeros(len(matrix), np.int8)),
        ]
        return graph.node("Mul", graph.node("MatMulIntegerToFloat", *inputs, domain=MICROSOFT), peak, name=name)

    def activations(self, x: str) -> tuple[str, str]:
        """Quantize x (1, n, inputs) with one scale per token; returns the codes and each token's largest magnitude."""
        if x not in self._activations:
            graph = self.graph
            peak = graph.node("ReduceMax", graph.node("Abs", x), axes=[-1], keepdims=1)
            peak = graph.node("Max", peak, graph.constant("tiny", np.array(1e-12, np.float32)))
            codes = graph.node(
                "QuantizeLinear",
                graph.node("Div", x, peak),
                graph.constant("activation_scale", np.array(1 / 127, np.float32)),
                graph.constant("activation_zero", np.array(128, np.uint8)),
            )
            self._activations[x] = codes, peak
        return self._activations[x]

    def blocks(self, name: str, matrix: np.ndarray, x: str, bits: int) -> str:
        rows, columns = matrix.shape
        codes, scales = self.stored_blocks(name, matrix, bits)
        return self.graph.node(
            "MatMulNBits",
            x,
            codes,
            scales,
            name=name,
            domain=MICROSOFT,
            K=columns,
            N=rows,
            bits=bits,
            block_size=BLOCK,
            accuracy_level=INTEGER_ACTIVATIONS,
        )

    def stored_blocks(self, name: str, matrix: np.ndarray, bits: int) -> tuple[str, str]:
        """Store a matrix in blocks, once for each name; returns the names of codes and scales."""
        names = f"{name}.codes", f"{name}.block_scales"
        if not self.graph.has(names[0]):
            inputs = self.inputs(name) if bits == 4 else None
            if inputs is None:
                codes, scales = blockwise(matrix, bits, BLOCK)
            else:
                rounded, scales = round_calibrated(matrix, inputs, BLOCK)
                codes = packed_blocks(rounded, bits, BLOCK)
            self.graph.constant(names[0], codes)
            self.graph.constant(names[1], scales)
        return names
