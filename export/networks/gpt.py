"""A decoder-only network in torch: GPT-2's shape and Llama's, and what lies between them.

Parameter names are ours; `export/checkpoints/gpt2.py` and `llama.py` say which of Hugging Face's they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Stretch:
    """Llama 3.1's longer context: waves that fit less than `low` times into the old one become `factor` times longer,
    those that fit more than `high` times stay, and what lies between goes over smoothly."""

    factor: float
    low: float
    high: float
    original: int
    """Tokens of the old context."""

    def __call__(self, speeds: Tensor) -> Tensor:
        fitting = self.original * speeds / (2 * torch.pi)
        kept = ((fitting - self.low) / (self.high - self.low)).clamp(0, 1)
        return speeds * (kept + (1 - kept) / self.factor)


@dataclass(frozen=True)
class Shape:
    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    """Fewer than `heads`: groups of heads share keys and values."""
    head_size: int
    inner: int
    """Width inside the feed-forward part."""
    context: int
    """Tokens of prompt and answer together."""
    positions: Literal["learned", "rotary"] = "rotary"
    norm: Literal["layer", "rms"] = "rms"
    activation: Literal["gelu", "gelu-tanh", "swiglu"] = "swiglu"
    bias: bool = False
    tied: bool = True
    """Whether the embedding is the last matrix too."""
    epsilon: float = 1e-5
    theta: float = 10_000.0
    """Of the rotary positions' wave lengths."""
    stretch: Stretch | None = None
    dropout: float = 0.0


def norm(shape: Shape) -> nn.Module:
    if shape.norm == "rms":
        return nn.RMSNorm(shape.width, shape.epsilon)
    return nn.LayerNorm(shape.width, shape.epsilon)


def waves(shape: Shape) -> tuple[Tensor, Tensor]:
    """Cosine and sine of each position's angles, (context, head_size / 2)."""
    half = shape.head_size // 2
    speeds = shape.theta ** (-torch.arange(half, dtype=torch.float64) / half)
    if shape.stretch is not None:
        speeds = shape.stretch(speeds)
    angles = torch.arange(shape.context, dtype=torch.float64)[:, None] * speeds
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary positions, the first half of each head paired with the second; x is (batch, heads, sequence, head)."""
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
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=grouped)
        return self.out(mixed.transpose(1, 2).reshape(batch, sequence, -1))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.activation = shape.activation
        gated = shape.activation == "swiglu"
        self.up = nn.Linear(shape.width, shape.inner * (2 if gated else 1), bias=shape.bias)
        """With a gate: its rows, then those of what it gates."""
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
        cosine, sine = waves(shape)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
        self.apply(begin)
        for name, weight in self.named_parameters():
            if name.endswith(("attention.out.weight", "feed_forward.down.weight")):
                # What is added up over the layers starts smaller the more of them there are (GPT-2).
                nn.init.normal_(weight, std=0.02 / (2 * shape.layers) ** 0.5)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Logits of the token after each one, (batch, sequence, vocabulary)."""
        sequence = input_ids.shape[1]
        x = self.tokens(input_ids)
        if self.positions is not None:
            x = x + self.positions.weight[:sequence]
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, self.cosine[:sequence], self.sine[:sequence])
        return functional.linear(self.norm(x), self.tokens.weight if self.head is None else self.head.weight)


def begin(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
