"""Quantization of single weight matrices, in the forms that ONNX Runtime's matrix products read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

CHUNK = 4_000_000
"""Values that are quantized at a time, which bounds the memory of the search."""
FACTORS = (1.0, 0.95, 0.9, 0.85, 0.8, 1.05, 1.1)
"""Scales of a 4-bit block that are tried, relative to the one that covers the block's largest value exactly."""
TINY = 1e-12


def int8_per_row(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantize (rows, columns) to int8 with a scale (rows,) per row.

    Seven of the eight bits are used: without VNNI, sums of products of full-range int8 and uint8 overflow 16 bits.
    """
    scales = np.maximum(np.abs(matrix).max(1), TINY) / 64
    return np.round(matrix / scales[:, None]).astype(np.int8), scales.astype(np.float32)


def blockwise(matrix: np.ndarray, bits: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Quantize (rows, columns) to blocks of columns with one scale each, as MatMulNBits reads them.

    Returns uint8 (rows, blocks, block * bits / 8), low nibbles first, and scales (rows, blocks).
    """
    rows, columns = matrix.shape
    blocks = -(-columns // block)
    weights = np.ones((1, blocks, block), np.float32)
    packed = np.empty((rows, blocks, block * bits // 8), np.uint8)
    scales = np.empty((rows, blocks), np.float32)
    for part in chunks(rows, columns):
        values = np.pad(matrix[part], ((0, 0), (0, blocks * block - columns))).reshape(-1, blocks, block)
        rounded, scales[part] = round_blocks(values, bits, weights)
        packed[part] = packed_blocks(rounded.reshape(len(rounded), -1), bits, block)
    return packed, scales


def packed_blocks(rounded: np.ndarray, bits: int, block: int) -> np.ndarray:
    """Integers (rows, columns) of `bits` bits as uint8 (rows, blocks, block * bits / 8), low nibbles first."""
    rows, columns = rounded.shape
    codes = np.pad(rounded, ((0, 0), (0, -columns % block))).reshape(rows, -1, block)
    codes = (codes + 2 ** (bits - 1)).astype(np.uint8)
    return codes if bits == 8 else codes[..., ::2] | (codes[..., 1::2] << 4)


def chunks(rows: int, columns: int) -> Iterator[slice]:
    step = max(1, CHUNK // columns)
    return (slice(start, start + step) for start in range(0, rows, step))


def round_blocks(values: np.ndarray, bits: int, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round blocks (rows, blocks, block) to integers of `bits` bits; returns them and their scales (rows, blocks).

    Scales of 4 bits are those of FACTORS with the smallest squared error, which `weights` (1, blocks, block) weigh.
    The value with the largest magnitude becomes the lowest integer, since there is one more negative than positive one.
    """
    lowest = -(2 ** (bits - 1))
    peaks = np.take_along_axis(values, np.abs(values).argmax(-1)[..., None], -1)
    base = np.where(np.abs(peaks) < TINY, TINY, peaks) / lowest
    if bits == 8:
        return np.clip(np.round(values / base), lowest, -lowest - 1), base[..., 0]
    weighted = values * weights
    best = np.full(peaks.shape, -1.0, np.float32)
    rounded, scales = np.zeros_like(values), base.copy()
    for factor in FACTORS:
        candidate = np.clip(np.round(values / (base * factor)), lowest, -lowest - 1)
        product = (weighted * candidate).sum(-1, keepdims=True)
        square = (candidate * candidate * weights).sum(-1, keepdims=True) + TINY * TINY
        gain = product * product / square  # what the best scale for these integers, product / square, explains
        better = gain > best
        best = np.where(better, gain, best)
        rounded = np.where(better, candidate, rounded)
        scales = np.where(better, product / square, scales)
    return rounded, scales[..., 0]
