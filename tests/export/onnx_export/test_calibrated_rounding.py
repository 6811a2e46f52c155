"""Rounding by the inputs of a text: its algebra, what it gains, and that few tokens do no harm."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from hearth_build.onnx_export import calibrated_rounding
from hearth_build.onnx_export.calibrated_rounding import (
    inverse_factor,
    round_calibrated,
    shrunk_moments,
    spans,
)
from hearth_build.onnx_export.matrices import blockwise, packed_blocks

RANDOM = np.random.default_rng(5)
MATRIX = RANDOM.standard_normal((48, 172)).astype(np.float32)
MIXING = RANDOM.standard_normal((24, 172)).astype(np.float32)


def inputs(tokens: int, seed: int) -> np.ndarray:
    """Correlated inputs of different sizes (tokens, 172)."""
    random = np.random.default_rng(seed)
    sizes = np.exp(np.linspace(-1, 1, 172))
    values = random.standard_normal((tokens, 24)) @ MIXING + random.standard_normal((tokens, 172))
    return (values * sizes).astype(np.float32)


def plain(matrix: np.ndarray) -> np.ndarray:
    """The matrix rounded without inputs."""
    packed, scales = blockwise(matrix, 4, 32)
    codes = np.stack((packed & 15, packed >> 4), -1).reshape(*packed.shape[:2], 32).astype(np.float32) - 8
    return (codes * scales[..., None]).reshape(len(matrix), -1)[:, : matrix.shape[1]]


def calibrated(matrix: np.ndarray, values: np.ndarray) -> np.ndarray:
    rounded, scales = round_calibrated(matrix, values, 32)
    assert set(rounded.ravel()) <= set(range(-8, 8))
    return rounded * np.repeat(scales, 32, 1)[:, : matrix.shape[1]]


def error(rounded: np.ndarray) -> float:
    """Of products with other inputs than those it was rounded by."""
    return float(np.square(inputs(4000, 99) @ (rounded - MATRIX).T).mean())


@pytest.mark.parametrize(("tokens", "largest"), [(2000, 0.35), (256, 0.55), (64, 0.8), (8, 1.2)])
def test_errors_on_other_texts_are_smaller_and_few_tokens_do_no_harm(tokens: int, largest: float) -> None:
    assert error(calibrated(MATRIX, inputs(tokens, 1))) < largest * error(plain(MATRIX))


def test_correlations_that_are_chance_are_not_used() -> None:
    independent = RANDOM.standard_normal((200, 172)).astype(np.float32)
    moments = shrunk_moments(independent)
    outside = moments - np.diag(np.diag(moments))
    assert np.abs(outside).max() < 0.05  # of 1; the text's own correlations reach 0.3
    real = shrunk_moments(inputs(2000, 1))
    assert np.abs(real - np.diag(np.diag(real))).max() > 0.2 * real.max()


def test_the_factor_belongs_to_the_inverse() -> None:
    moments = shrunk_moments(inputs(300, 2))
    factor = inverse_factor(moments)
    assert np.allclose(factor, np.triu(factor))
    np.testing.assert_allclose(factor.T @ factor @ moments, np.eye(len(moments)), atol=2e-3)


def test_inputs_that_never_occur_or_never_vary_are_no_obstacle() -> None:
    values = inputs(300, 3)
    values[:, 40:80] = 0
    values[:, 5] = values[:, 6]
    assert np.isfinite(calibrated(MATRIX, values)).all()
    assert np.isfinite(calibrated(MATRIX, np.zeros_like(values))).all()
    assert np.isfinite(calibrated(np.zeros_like(MATRIX), values)).all()


def test_the_scale_of_the_inputs_does_not_matter() -> None:
    values = inputs(300, 4)
    first, second = (round_calibrated(MATRIX, values * np.float32(scale), 32) for scale in (1, 2**-8))
    assert (first[0] == second[0]).mean() > 0.999


def test_wide_matrices_are_rounded_in_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrated_rounding, "SPAN", 64)
    parts = list(spans(172, 32))
    assert [part.indices(172)[:2] for part in parts] == [(0, 64), (64, 128), (128, 172)]
    assert error(calibrated(MATRIX, inputs(2000, 1))) < 0.8 * error(plain(MATRIX))


def test_packed_blocks_have_the_low_nibble_first_and_zeros_as_padding() -> None:
    packed = packed_blocks(np.array([[-8, 7, 0]], np.int8), 4, 4)
    assert packed.tolist() == [[[0xF0, 0x88]]]
