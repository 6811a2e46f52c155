"""What a decoder's graph depends on: padded heads, the order of their dimensions, slopes of ALiBi."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hearth_build.networks.gpt import Shape  # noqa: E402
from hearth_build.onnx_export.decoder_architecture import (  # noqa: E402
    alibi_slopes,
    architecture_of,
    head_order,
    padded_head_size,
)

SHAPE = Shape(vocabulary=64, width=48, layers=2, heads=2, kv_heads=1, head_size=24, inner=64, context=16)


def test_heads_are_padded_to_sixteen() -> None:
    assert [padded_head_size(size) for size in (1, 16, 17, 24, 64)] == [16, 16, 32, 32, 64]


def test_rotated_pairs_come_first_in_both_halves() -> None:
    halves = replace(architecture_of(SHAPE), head_size=8)  # padded to 16: the second half begins at 8
    assert head_order(halves, 8).tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
    assert head_order(halves, 4).tolist() == [0, 1, 8, 9, 2, 3, 4, 5]
    adjacent = replace(halves, interleaved=True)
    assert head_order(adjacent, 8).tolist() == [0, 8, 1, 9, 2, 10, 3, 11]


def test_slopes_are_those_of_the_paper() -> None:
    np.testing.assert_allclose(alibi_slopes(8), [2.0**-k for k in range(1, 9)])
    twelve = alibi_slopes(12)
    np.testing.assert_allclose(twelve[:8], alibi_slopes(8))
    np.testing.assert_allclose(twelve[8:], [2.0 ** -(k / 2) for k in (1, 3, 5, 7)], rtol=1e-6)


def test_a_network_is_described() -> None:
    architecture = architecture_of(SHAPE)
    assert (architecture.vocabulary, architecture.layers, architecture.head_size) == (64, 2, 24)
    assert architecture.layer_rotary == ("rotary", "rotary")
    assert architecture.rotary["rotary"].cosine.shape == (16, 12)
    learned = architecture_of(replace(SHAPE, positions="learned"))
    assert (learned.rotary, learned.layer_rotary) == ({}, ())
