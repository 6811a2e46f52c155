"""Rounds a matrix to blocks of 4 bits so that errors cancel in its products with the inputs of a text: GPTQ
(https://arxiv.org/abs/2210.17323).

Each column's rounding error is made up for by the columns after it, as far as their inputs are correlated. From a few
pages of text, most correlations of wide inputs are chance, and would make up for errors that are not there: they are
shrunk by what the text's own variance says about them (Ledoit and Wolf; Schäfer and Strimmer). ONNX Runtime's own GPTQ
(1.32) was not used: it multiplies by the part of its triangular factor that is zero, so no error is passed on.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from hearth_build.onnx_export.matrices import TINY, chunks, round_blocks

SPAN = 2048
"""Columns among which errors are passed on; time and memory grow with its cube and square."""
STEP = 128
"""Columns after which errors are passed on to the rest of a span."""
DAMPING = 0.01
"""Added to the mean square of each input, relative to the average input."""
DEPENDENCE = 2.0
"""Neighbouring tokens are alike: a text has as much information as this many times fewer independent tokens."""


def round_calibrated(matrix: np.ndarray, inputs: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Round (rows, columns) to integers of 4 bits for inputs (tokens, columns).

    Returns the integers (rows, columns) int8, and their scales (rows, blocks), a block being `block` columns.
    """
    rows, columns = matrix.shape
    rounded = np.empty((rows, columns), np.int8)
    scales = np.empty((rows, -(-columns // block)), np.float32)
    for span in spans(columns, block):
        factor = inverse_factor(shrunk_moments(inputs[:, span]))
        first = span.start // block
        for part in chunks(rows, span.stop - span.start):
            values = np.ascontiguousarray(matrix[part, span].T)  # by columns, which are rounded one after the other
            codes, found = round_columns(values, factor, block)
            rounded[part, span] = codes.T
            scales[part, first : first + found.shape[1]] = found
    return rounded, scales


def spans(columns: int, block: int) -> Iterator[slice]:
    """Slices of whole blocks, about equal and at most SPAN long."""
    count = -(-columns // SPAN)
    length = -(-columns // (count * block)) * block
    return (slice(start, min(start + length, columns)) for start in range(0, columns, length))


def shrunk_moments(inputs: np.ndarray) -> np.ndarray:
    """The mean product of each two inputs (columns, columns), as far as (tokens, columns) allow to estimate them."""
    tokens = len(inputs)
    inputs = inputs.astype(np.float32)
    sizes = np.sqrt(np.square(inputs).mean(0)) + TINY
    scaled = inputs / sizes
    correlations = scaled.T @ scaled / tokens
    squares = np.square(scaled)
    between = float((np.square(squares.sum(1)) - np.square(squares).sum(1)).mean())  # of squared products, i != j
    observed = float(np.square(correlations).sum() - np.square(np.diag(correlations)).sum())
    chance = (between - observed) / max(1, tokens - 1)
    correlations *= 1 - min(1.0, max(0.0, DEPENDENCE * chance / (observed + TINY)))
    np.fill_diagonal(correlations, 1)
    moments: np.ndarray = correlations * sizes * sizes[:, None]
    moments[np.diag_indices(len(moments))] += DAMPING * np.square(sizes).mean() + TINY
    return moments


def inverse_factor(moments: np.ndarray) -> np.ndarray:
    """The upper triangular matrix U for which the inverse of `moments` is U.T @ U."""
    lower = torch.linalg.cholesky(torch.from_numpy(moments[::-1, ::-1].astype(np.float64)))
    inverse = torch.linalg.solve_triangular(lower, torch.eye(len(lower), dtype=torch.float64), upper=False)
    return np.ascontiguousarray(inverse.numpy()[::-1, ::-1], np.float32)


def round_columns(values: np.ndarray, factor: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Round values (columns, rows), which are overwritten, to integers (columns, rows) and scales (rows, blocks)."""
    columns, rows = values.shape
    rounded = np.empty((columns, rows), np.int8)
    errors = np.empty((STEP, rows), np.float32)
    scales = np.empty((rows, -(-columns // block)), np.float32)
    for step in range(0, columns, STEP):
        end = min(step + STEP, columns)
        for start in range(step, end, block):
            stop = min(start + block, end)
            # What an error costs after the columns behind it have made up for it.
            costs = 1 / np.square(np.diag(factor)[start:stop])
            scale = round_blocks(values[None, start:stop].transpose(2, 0, 1), 4, costs[None, None])[1][:, 0]
            scale = np.where(scale == 0, 1, scale)  # of a block of zeros
            scales[:, start // block] = scale
            for column in range(start, stop):
                value = values[column]
                codes = np.clip(np.rint(value / scale), -8, 7)
                rounded[column] = codes
                error = errors[column - step]
                np.divide(value - codes * scale, factor[column, column], out=error)
                values[column + 1 : stop] -= factor[column, column + 1 : stop, None] * error
            values[stop:end] -= factor[start:stop, stop:end].T @ errors[start - step : stop - step]
        values[end:] -= factor[step:end, end:].T @ errors[: end - step]
    return rounded, scales
