"""A Marian-shaped encoder-decoder in torch. Parameter names equal Hugging Face's, so its checkpoints load by name.

Post-norm layers, sinusoidal positions, one embedding for source, target and output (Junczys-Dowmunt et al. 2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

ACTIVATIONS = {"relu": functional.relu, "swish": functional.silu, "silu": functional.silu, "gelu": functional.gelu}


@dataclass(frozen=True)
class Shape:
    vocabulary: int
    hidden: int
    encoder_layers: int
    decoder_layers: int
    heads: int
    intermediate: int
    positions: int
    pad: int
    activation: str = "relu"
    scale_embedding: bool = True
    dropout: float = 0.1


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.q_proj = nn.Linear(shape.hidden, shape.hidden)
        self.k_proj = nn.Linear(shape.hidden, shape.hidden)
        self.v_proj = nn.Linear(shape.hidden, shape.hidden)
        self.out_proj = nn.Linear(shape.hidden, shape.hidden)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Return (batch, queries, hidden). `memory` is (batch, keys, hidden); `mask` is added to the scores."""
        query, key, value = self.split(self.q_proj(x)), self.split(self.k_proj(memory)), self.split(self.v_proj(memory))
        attended = functional.scaled_dot_product_attention(query, key, value, mask)
        projected: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return projected

    def split(self, x: Tensor) -> Tensor:
        """Return (batch, heads, sequence, head_size)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class Layer(nn.Module):
    """A layer of the encoder or, with cross-attention, of the decoder."""

    def __init__(self, shape: Shape, cross_attention: bool) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[shape.activation]
        self.dropout = nn.Dropout(shape.dropout)
        self.self_attn = Attention(shape)
        self.self_attn_layer_norm = nn.LayerNorm(shape.hidden)
        if cross_attention:
            self.encoder_attn = Attention(shape)
            self.encoder_attn_layer_norm = nn.LayerNorm(shape.hidden)
        self.fc1 = nn.Linear(shape.hidden, shape.intermediate)
        self.fc2 = nn.Linear(shape.intermediate, shape.hidden)
        self.final_layer_norm = nn.LayerNorm(shape.hidden)

    def forward(
        self, x: Tensor, mask: Tensor, memory: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> Tensor:
        x = self.self_attn_layer_norm(x + self.dropout(self.self_attn(x, x, mask)))
        if memory is not None:
            x = self.encoder_attn_layer_norm(x + self.dropout(self.encoder_attn(x, memory, memory_mask)))
        return self.feed_forward(x)

    def feed_forward(self, x: Tensor) -> Tensor:
        expanded = self.activation(self.fc1(x))
        added: Tensor = self.final_layer_norm(x + self.dropout(self.fc2(expanded)))
        return added


class Marian(nn.Module):
    """Logits (batch, target, vocabulary) from int64 source and target tokens; targets begin with the start token."""

    positions: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        layers = {
            "encoder": nn.ModuleList(Layer(shape, cross_attention=False) for _ in range(shape.encoder_layers)),
            "decoder": nn.ModuleList(Layer(shape, cross_attention=True) for _ in range(shape.decoder_layers)),
        }
        stacks = {name: nn.ModuleDict({"layers": stack}) for name, stack in layers.items()}
        shared = nn.Embedding(shape.vocabulary, shape.hidden, shape.pad)
        self.model = nn.ModuleDict({"shared": shared, **stacks})
        self.dropout = nn.Dropout(shape.dropout)
        self.final_logits_bias = nn.Parameter(torch.zeros(1, shape.vocabulary))
        self.register_buffer("positions", sinusoids(shape.positions, shape.hidden), persistent=False)
        self.apply(initialise)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, decoder_input_ids: Tensor) -> Tensor:
        memory = self.encode(input_ids, attention_mask)
        return self.project(self.decode(decoder_input_ids, memory, attention_mask))

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the encoder's hidden states, (batch, source, hidden)."""
        x, mask = self.embed(input_ids, 0), additive_mask(attention_mask)
        for layer in self.model["encoder"]["layers"]:
            x = layer(x, mask)
        return x

    def decode(self, ids: Tensor, memory: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the decoder's hidden states, (batch, target, hidden)."""
        x, memory_mask = self.embed(ids, 0), additive_mask(attention_mask)
        causal = torch.full((ids.shape[1], ids.shape[1]), torch.finfo(x.dtype).min).triu(1)
        for layer in self.model["decoder"]["layers"]:
            x = layer(x, causal, memory, memory_mask)
        return x

    def project(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.model["shared"].weight) + self.final_logits_bias

    def embed(self, ids: Tensor, start: Tensor | int) -> Tensor:
        words = self.model["shared"](ids)
        if self.shape.scale_embedding:
            words = words * self.shape.hidden**0.5
        embedded: Tensor = self.dropout(words + self.positions[start : start + ids.shape[1]])
        return embedded


def additive_mask(attention_mask: Tensor) -> Tensor:
    """Return the mask that is added to attention scores, (batch, 1, 1, source)."""
    return (1.0 - attention_mask[:, None, None, :].to(torch.float32)) * torch.finfo(torch.float32).min


def sinusoids(positions: int, hidden: int) -> Tensor:
    """Return the position embeddings, (positions, hidden): sines in the first half, cosines in the second."""
    rates = 10000.0 ** (-torch.arange(0, hidden, 2, dtype=torch.float64) / hidden)
    angles = torch.arange(positions, dtype=torch.float64)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()[:, : hidden // 2]], 1).to(torch.float32)


def initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
