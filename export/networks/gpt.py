"""A decoder-only transformer in torch, for recipes that train one: GPT-2's features, Llama's, and combinations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    """Grouped-query attention when fewer than `heads`: each group of heads shares keys and values."""
    head_size: int
    inner: int
    """Width of the hidden layer of the feed-forward network."""
    context: int
    """Largest number of tokens of prompt and output together."""
    positions: Literal["learned", "rotary"] = "rotary"
    norm: Literal["layer", "rms"] = "rms"
    activation: Literal["gelu", "gelu-tanh", "swiglu"] = "swiglu"
    bias: bool = False
    tied: bool = True
    """Whether the embedding matrix is also the output matrix."""
    epsilon: float = 1e-5
    rope_theta: float = 10_000.0
    """Base of the rotary positions' wavelengths."""
    dropout: float = 0.0


def norm(shape: Shape) -> nn.Module:
    if shape.norm == "rms":
        return nn.RMSNorm(shape.width, shape.epsilon)
    return nn.LayerNorm(shape.width, shape.epsilon)


def rotary_tables(shape: Shape) -> tuple[Tensor, Tensor]:
    """Return the cosine and sine of each position's angles, (context, head_size / 2)."""
    half = shape.head_size // 2
    frequencies = shape.rope_theta ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(shape.context, dtype=torch.float64)[:, None] * frequencies
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Apply rotary positions to x, (batch, heads, sequence, head_size); the first half is paired with the second."""
    first, second = x.chunk(2, -1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), -1)


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        packed = (shape.heads + 2 * shape.kv_heads) * shape.head_size
        self.qkv = nn.Linear(shape.width, packed, bias=shape.bias)
        self.out = nn.Linear(shape.heads * shape.head_size, shape.width, bias=shape.bias)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        batch, sequence, _ = x.shape
        shape = self.shape
        heads = self.qkv(x).view(batch, sequence, -1, shape.head_size).transpose(1, 2)
        query, key, value = heads.split((shape.heads, shape.kv_heads, shape.kv_heads), 1)
        if shape.positions == "rotary":
            query, key = rotate(query, cosine, sine), rotate(key, cosine, sine)
        grouped = shape.kv_heads < shape.heads
        attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=grouped)
        return self.out(attended.transpose(1, 2).reshape(batch, sequence, -1))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.activation = shape.activation
        gated = shape.activation == "swiglu"
        self.up = nn.Linear(shape.width, shape.inner * (2 if gated else 1), bias=shape.bias)
        """With swiglu, the rows of the gate come first, then those of the gated projection."""
        self.down = nn.Linear(shape.inner, shape.width, bias=shape.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(x)
        if self.activation == "swiglu":
            gate, x = x.chunk(2, -1)
            x = functional.silu(gate) * x
        else:
            x = functional.gelu(x, approximate="tanh" if self.activation == "gelu-tanh" else "none")
        return self.down(x)  # type: ignore[no-any-return]


class Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.before_attention = norm(shape)
        self.attention = Attention(shape)
        self.before_feed_forward = norm(shape)
        self.feed_forward = FeedForward(shape)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.before_attention(x), cosine, sine))
        return x + self.dropout(self.feed_forward(self.before_feed_forward(x)))  # type: ignore[no-any-return]


class Decoder(nn.Module):
    cosine: Tensor
    sine: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.positions = nn.Embedding(shape.context, shape.width) if shape.positions == "learned" else None
        self.dropout = nn.Dropout(shape.dropout)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = norm(shape)
        self.head = None if shape.tied else nn.Linear(shape.width, shape.vocabulary, bias=False)
        cosine, sine = rotary_tables(shape)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
        self.apply(initialise)
        for name, weight in self.named_parameters():
            if name.endswith(("attention.out.weight", "feed_forward.down.weight")):
                # Projections that are summed over the layers start smaller in deeper networks, as in GPT-2.
                nn.init.normal_(weight, std=0.02 / (2 * shape.layers) ** 0.5)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return the logits of each next token, (batch, sequence, vocabulary)."""
        sequence = input_ids.shape[1]
        x = self.tokens(input_ids)
        if self.positions is not None:
            x = x + self.positions.weight[:sequence]
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, self.cosine[:sequence], self.sine[:sequence])
        return functional.linear(self.norm(x), self.tokens.weight if self.head is None else self.head.weight)


def initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
