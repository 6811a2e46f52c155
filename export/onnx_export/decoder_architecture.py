"""All that the graph of a decoder-only transformer depends on beside its weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from hearth_build.networks.gpt import Shape, rotary_tables

Activation = Literal["gelu", "gelu-tanh", "relu", "silu"]


@dataclass(frozen=True)
class RotaryTable:
    """Cosine and sine of each position's angles, (context, rotated dimensions / 2)."""

    cosine: np.ndarray
    sine: np.ndarray


@dataclass(frozen=True)
class Architecture:
    """All that the graph depends on beside the weights."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    context: int
    norm: Literal["layer", "rms"]
    epsilon: float
    activation: Activation
    gated: bool = False
    rotary: dict[str, RotaryTable] = field(default_factory=dict)
    """Tables by name."""
    layer_rotary: tuple[str, ...] = ()
    """The name of each layer's table; empty for a layer without rotary positions."""
    interleaved: bool = False
    """Whether rotary positions pair adjacent dimensions, or those of the two halves."""
    alibi: bool = False
    windows: tuple[int, ...] = ()
    """Number of tokens that each layer attends to; 0 for all."""
    scale: float | None = None
    """Factor of attention's scores; by default one over the root of the head size."""
    score_cap: float = 0.0
    logit_cap: float = 0.0
    """Values are limited smoothly, cap * tanh(value / cap); 0: not limited."""
    parallel: bool = False
    """Whether attention and feed-forward network read the same input."""
    embedding_multiplier: float = 1.0
    residual_multiplier: float = 1.0
    logit_multiplier: float = 1.0


def architecture_of(shape: Shape) -> Architecture:
    """Describe a network of `hearth_build.networks.gpt`."""
    gated = shape.activation == "swiglu"
    rotary = {}
    if shape.positions == "rotary":
        rotary = {"rotary": RotaryTable(*(table.numpy() for table in rotary_tables(shape)))}
    return Architecture(
        vocabulary=shape.vocabulary,
        width=shape.width,
        layers=shape.layers,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        head_size=shape.head_size,
        context=shape.context,
        norm=shape.norm,
        epsilon=shape.epsilon,
        activation="silu" if shape.activation == "swiglu" else shape.activation,
        gated=gated,
        rotary=rotary,
        layer_rotary=("rotary",) * shape.layers if rotary else (),
    )


def padded_head_size(head_size: int) -> int:
    """Round up to a multiple of 16, which GroupQueryAttention requires."""
    return -(-head_size // 16) * 16


def head_order(architecture: Architecture, rotated: int) -> np.ndarray:
    """The place of each dimension of a head among the padded ones, (head_size,), where `rotated` of them are rotated.

    GroupQueryAttention rotates each dimension of the first half with that of the second half. So the pairs come first
    in both halves, and dimensions that are not rotated or only padding follow, with an angle of zero.
    """
    half = padded_head_size(architecture.head_size) // 2
    pairs = rotated // 2
    first, second = np.arange(pairs), half + np.arange(pairs)
    places = np.stack((first, second), 1).ravel() if architecture.interleaved else np.concatenate((first, second))
    free = np.concatenate((np.arange(pairs, half), np.arange(half + pairs, 2 * half)))
    return np.concatenate((places, free[: architecture.head_size - rotated]))


def alibi_slopes(heads: int) -> np.ndarray:
    """The slope of each head, as in BLOOM: powers of two, and those between them for the heads that remain."""
    closest = 2 ** int(np.floor(np.log2(heads)))
    base = 2.0 ** -(2.0 ** -(np.log2(closest) - 3))
    slopes = base ** np.arange(1, closest + 1)
    if closest < heads:
        extra = 2.0 ** -(2.0 ** -(np.log2(2 * closest) - 3))
        slopes = np.concatenate((slopes, extra ** np.arange(1, 2 * (heads - closest), 2)))
    return slopes.astype(np.float32)
