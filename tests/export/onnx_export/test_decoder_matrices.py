from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import onnxruntime
import pytest

from hearth_build.onnx_export.decoder_matrices import Matrices, Precision
from hearth_build.onnx_export.graph_file import GraphFile, tensor_info

RANDOM = np.random.default_rng(0)
MATRIX, OTHER = (RANDOM.normal(size=(48, 32)).astype(np.float32) for _ in range(2))
X = RANDOM.normal(size=(1, 5, 32)).astype(np.float32)
PRECISIONS = get_args(Precision)
ERRORS = {"fp32": 1e-5, "int8": 0.03, "int4": 0.12}
"""Root mean square error, relative to that of the values."""


def run(path: Path, precision: Precision, write: Callable[[Matrices], str], x: np.ndarray, dtype: str) -> np.ndarray:
    with GraphFile(path) as graph:
        graph.node("Identity", write(Matrices(graph, precision, lambda name: None)), name="y")
        dims = (1, None, 32) if x.ndim == 3 else (1, None)
        graph.save([tensor_info("x", dtype, dims)], [tensor_info("y", "float32", (1, None, None))])
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]  # type: ignore[no-any-return]


def error(actual: np.ndarray, expected: np.ndarray) -> float:
    return float(np.sqrt(((actual - expected) ** 2).mean() / (expected**2).mean()))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_products_are_close_to_those_of_the_matrix(precision: Precision, tmp_path: Path) -> None:
    y = run(tmp_path / "a.onnx", precision, lambda matrices: matrices.product("a", MATRIX, "x"), X, "float32")
    assert error(y, X @ MATRIX.T) < ERRORS[precision]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_embedding_and_output_are_one_matrix(precision: Precision, tmp_path: Path) -> None:
    def write(matrices: Matrices) -> str:
        return matrices.output("tokens", MATRIX, matrices.embedding("tokens.weight", MATRIX, "x"))

    ids = np.array([[3, 0, 47]])
    y = run(tmp_path / "a.onnx", precision, write, ids, "int64")
    assert error(y, MATRIX[ids] @ MATRIX.T) < 0.02
    stored = MATRIX.size * (4 if precision == "fp32" else 1)
    assert stored <= (tmp_path / "a.bin").stat().st_size < 1.5 * stored + 4096


def test_a_token_does_not_depend_on_those_it_is_read_with(tmp_path: Path) -> None:
    def product(x: np.ndarray) -> np.ndarray:
        return run(tmp_path / "a.onnx", "int8", lambda matrices: matrices.product("a", MATRIX, "x"), x, "float32")

    large = np.concatenate([X, 100 * X], 1)
    np.testing.assert_array_equal(product(large)[:, :5], product(X))


def test_activations_are_quantized_once_for_all_their_products(tmp_path: Path) -> None:
    with GraphFile(tmp_path / "a.onnx") as graph:
        matrices = Matrices(graph, "int8", lambda name: None)
        for name, matrix in (("query", MATRIX), ("key", OTHER)):
            matrices.product(name, matrix, "x")
        assert [node.op_type for node in graph.nodes].count("QuantizeLinear") == 1
