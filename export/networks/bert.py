"""A compact BERT encoder in torch. Parameter names equal Hugging Face's, so its checkpoints load by name.

With `embedding` set, word embeddings are factorised: vocabulary x embedding, then one projection to `hidden`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    vocabulary: int
    hidden: int
    layers: int
    heads: int
    intermediate: int
    positions: int
    labels: int
    embedding: int | None = None
    dropout: float = 0.1
    epsilon: float = 1e-12
    types: int = 2
    pooled: Literal["tanh", "relu"] = "tanh"
    """Activation of the pooler, which a classifier applies to the first token's vector."""


class Embeddings(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(shape.vocabulary, shape.embedding or shape.hidden)
        self.projection = nn.Linear(shape.embedding, shape.hidden, bias=False) if shape.embedding else nn.Identity()
        self.position_embeddings = nn.Embedding(shape.positions, shape.hidden)
        self.token_type_embeddings = nn.Embedding(shape.types, shape.hidden)
        self.LayerNorm = nn.LayerNorm(shape.hidden, shape.epsilon)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        words = self.projection(self.word_embeddings(input_ids))  # (batch, sequence, hidden)
        positions = self.position_embeddings(torch.arange(input_ids.shape[1], device=input_ids.device))
        weights = self.token_type_embeddings.weight
        types = weights[0] if token_type_ids is None else functional.embedding(token_type_ids, weights)
        embedded: Tensor = self.LayerNorm(words + positions + types)
        return self.dropout(embedded)  # type: ignore[no-any-return]


class FusedAttention(torch.autograd.Function):
    """Attention without its projections as one operator of ONNX Runtime; used only while a graph is exported.

    `query`, `key`, `value` (batch, sequence, hidden), `mask` (batch, sequence) int32: 1 where there is a token.
    """

    @staticmethod
    def forward(context: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, heads: int) -> Tensor:
        return torch.empty_like(query)

    @staticmethod
    def symbolic(graph: Any, query: Any, key: Any, value: Any, mask: Any, heads: int) -> Any:
        no_bias = graph.op("prim::Constant")
        no_bias.setType(torch.OptionalType.ofTensor())
        attended = graph.op("com.microsoft::MultiHeadAttention", query, key, value, no_bias, mask, num_heads_i=heads)
        attended.setType(query.type())
        return attended


class SelfAttention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.query = nn.Linear(shape.hidden, shape.hidden)
        self.key = nn.Linear(shape.hidden, shape.hidden)
        self.value = nn.Linear(shape.hidden, shape.hidden)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        query, key, value = self.query(x), self.key(x), self.value(x)
        if torch.onnx.is_in_onnx_export():
            fused: Tensor = FusedAttention.apply(query, key, value, mask, self.heads)  # type: ignore[no-untyped-call]
            return fused
        batch, sequence, hidden = x.shape
        size = hidden // self.heads

        def split(projected: Tensor) -> Tensor:  # (batch, heads, sequence, head_size)
            return projected.view(batch, sequence, self.heads, size).transpose(1, 2)

        mask_bias = (1.0 - mask[:, None, None, :].to(torch.float32)) * -10000.0
        scores = split(query) @ split(key).transpose(2, 3) * size**-0.5 + mask_bias
        attended = scores.softmax(3) @ split(value)
        return attended.transpose(1, 2).reshape(batch, sequence, hidden)


class Residual(nn.Module):
    """A projection, a residual connection and a layer norm."""

    def __init__(self, inputs: int, shape: Shape) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, shape.hidden)
        self.LayerNorm = nn.LayerNorm(shape.hidden, shape.epsilon)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        added: Tensor = self.LayerNorm(self.dropout(self.dense(x)) + residual)
        return added


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({"self": SelfAttention(shape), "output": Residual(shape.hidden, shape)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(shape.hidden, shape.intermediate)})
        self.output = Residual(shape.intermediate, shape)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.attention["output"](self.attention["self"](x, mask), x)
        expanded = functional.gelu(self.intermediate["dense"](x))
        result: Tensor = self.output(expanded, x)
        return result


class Encoder(nn.Module):
    def __init__(self, shape: Shape, pooler: bool = True) -> None:
        super().__init__()
        self.embeddings = Embeddings(shape)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer(shape) for _ in range(shape.layers))})
        if pooler:
            self.pooler = nn.ModuleDict({"dense": nn.Linear(shape.hidden, shape.hidden)})

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Return the last hidden states, (batch, sequence, hidden). Without `token_type_ids` all tokens have type 0."""
        mask = attention_mask.to(torch.int32)
        x: Tensor = self.embeddings(input_ids, token_type_ids)
        for layer in self.encoder["layer"]:
            x = layer(x, mask)
        return x


class Classifier(nn.Module):
    """Logits (batch, labels) from int64 input_ids and attention_mask (batch, sequence)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.bert = Encoder(shape)
        self.dropout = nn.Dropout(shape.dropout)
        self.classifier = nn.Linear(shape.hidden, shape.labels)
        self.apply(initialise)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        first = self.bert(input_ids, attention_mask, token_type_ids)[:, 0]
        activation = torch.relu if self.shape.pooled == "relu" else torch.tanh
        pooled = activation(self.bert.pooler["dense"](first))
        logits: Tensor = self.classifier(self.dropout(pooled))
        return logits


class MaskedLanguageModel(nn.Module):
    """Predicts masked tokens; the output matrix is the word embedding's transpose."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        size = shape.embedding or shape.hidden
        self.bert = Encoder(shape)
        self.transform = nn.Linear(shape.hidden, size)
        self.norm = nn.LayerNorm(size, shape.epsilon)
        self.bias = nn.Parameter(torch.zeros(shape.vocabulary))
        self.apply(initialise)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, masked: Tensor) -> Tensor:
        """Return the logits of the masked positions, (masked positions, vocabulary)."""
        states = self.bert(input_ids, attention_mask)[masked]
        features = self.norm(functional.gelu(self.transform(states)))
        return functional.linear(features, self.bert.embeddings.word_embeddings.weight, self.bias)


def initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
    if isinstance(module, Embeddings) and isinstance(module.projection, nn.Linear):
        # Projected word embeddings must be as large as the position embeddings. Otherwise positions dominate the first
        # layer norm and the network does not learn.
        nn.init.normal_(module.projection.weight, std=module.projection.in_features**-0.5)


def read_shape(folder: Path, labels: int) -> Shape:
    """Read the shape from a Hugging Face config.json. Raises ValueError for anything but a plain BERT."""
    return shape_from(json.loads((folder / "config.json").read_text(encoding="utf-8")), labels)


def shape_from(config: dict[str, Any], labels: int) -> Shape:
    if config.get("model_type") != "bert":
        raise ValueError(f"config.json has model_type {config.get('model_type')!r}; only `bert` is supported")
    if config.get("hidden_act", "gelu") != "gelu" or config.get("position_embedding_type", "absolute") != "absolute":
        raise ValueError("config.json: only hidden_act `gelu` and absolute positions are supported")
    return Shape(
        vocabulary=config["vocab_size"],
        hidden=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        intermediate=config["intermediate_size"],
        positions=config["max_position_embeddings"],
        labels=labels,
        dropout=config.get("hidden_dropout_prob", 0.1),
        epsilon=config.get("layer_norm_eps", 1e-12),
        types=config.get("type_vocab_size", 2),
        pooled=config.get("pooled", "tanh"),
    )


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return the weights of a folder under the names of `rename_weights`."""
    from safetensors.torch import load_file

    return rename_weights(load_file(folder / "model.safetensors"))


def rename_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under Hugging Face's current names.

    Early checkpoints say gamma and beta. An encoder that was saved alone lacks the `bert.` prefix.
    """
    if not any(name.startswith("bert.") for name in weights):
        weights = {f"bert.{name}": value for name, value in weights.items()}
    renamed = {name.replace(".gamma", ".weight").replace(".beta", ".bias"): value for name, value in weights.items()}
    return {name: value for name, value in renamed.items() if not name.endswith("position_ids")}
