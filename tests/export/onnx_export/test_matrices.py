from __future__ import annotations

import numpy as np
import pytest

from hearth_build.onnx_export import matrices
from hearth_build.onnx_export.matrices import blockwise, int8_per_row

MATRIX = np.random.default_rng(0).normal(size=(6, 80)).astype(np.float32)


def unpacked(packed: np.ndarray, scales: np.ndarray, bits: int) -> np.ndarray:
    codes = packed if bits == 8 else np.stack([packed & 15, packed >> 4], -1).reshape(*packed.shape[:2], -1)
    values = (codes.astype(np.float32) - 2 ** (bits - 1)) * scales[..., None]
    return values.reshape(len(packed), -1)


def test_rows_use_seven_bits() -> None:
    codes, scales = int8_per_row(np.concatenate([MATRIX, np.zeros((1, 80), np.float32)]))
    assert np.abs(codes).max() == 64
    np.testing.assert_allclose(codes[:6] * scales[:6, None], MATRIX, atol=float(scales.max()) / 2 + 1e-6)
    assert not codes[6].any(), "a row of zeros has no scale of zero"


@pytest.mark.parametrize(("bits", "error"), [(8, 0.01), (4, 0.13)])
def test_blocks_are_close_to_their_weights(bits: int, error: float) -> None:
    packed, scales = blockwise(MATRIX, bits, 32)
    assert packed.shape == (6, 3, 32 * bits // 8)
    restored = unpacked(packed, scales, bits)
    assert np.sqrt(((restored[:, :80] - MATRIX) ** 2).mean()) < error
    assert not restored[:, 80:].any(), "padding is zero"


def test_searched_scales_are_better_than_the_one_of_the_largest_value(monkeypatch: pytest.MonkeyPatch) -> None:
    def error() -> float:
        return float(((unpacked(*blockwise(MATRIX, 4, 32), 4)[:, :80] - MATRIX) ** 2).mean())

    searched = error()
    monkeypatch.setattr(matrices, "FACTORS", (1.0,))
    assert searched < error()


def test_parts_give_the_same_blocks_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = blockwise(MATRIX, 4, 32)
    monkeypatch.setattr(matrices, "CHUNK", 160)
    for first, second in zip(whole, blockwise(MATRIX, 4, 32), strict=True):
        np.testing.assert_array_equal(first, second)
