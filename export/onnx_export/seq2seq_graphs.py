"""The two graphs of a translation model: `main` encodes the source, `decoder` computes one more token of every beam.

Cross-attention keys and values exist once for each source, whatever the number of its beams: the decoder treats the
beams of a source as the queries of one attention. The output matrix is also the embedding (columns are tokens), so it
is stored once in the decoder's file.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hearth.models.heads import Seq2Seq
from hearth.models.model import Model
from hearth_build.networks.marian import Layer, Marian, Shape, additive_mask
from hearth_build.onnx_export.export import OPSET
from hearth_build.onnx_export.reference import ReferenceModel

EXAMPLE = (2, 3, 5, 2)
"""Sizes of the traced example: sources, beams, source tokens, tokens generated so far."""
TENSORS = ("key", "value")


class Encoder(nn.Module):
    """Every decoder layer's cross-attention keys (batch, heads, head_size, source) and values
    (batch, heads, source, head_size), from source tokens."""

    def __init__(self, network: Marian) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> list[Tensor]:
        memory = self.network.encode(input_ids, attention_mask)
        cross = []
        for layer in self.network.model["decoder"]["layers"]:
            attention = layer.encoder_attn
            cross += [
                attention.split(attention.k_proj(memory)).transpose(2, 3),
                attention.split(attention.v_proj(memory)),
            ]
        return cross


class DecoderStep(nn.Module):
    """Logits (rows, vocabulary) of the next token, and the extended self-attention keys and values.

    `rows` are the beams of each source one after another. `cache` is every layer's cross-attention key and value, as
    `Encoder` returns them, then every layer's self-attention key and value (rows, heads, generated, head_size).
    """

    table: Tensor

    def __init__(self, network: Marian) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("table", network.model["shared"].weight.detach().t().contiguous())
        self.fused = nn.ModuleList(fuse_qkv(layer) for layer in network.model["decoder"]["layers"])

    def forward(self, input_ids: Tensor, attention_mask: Tensor, *cache: Tensor) -> list[Tensor]:
        shape, layers = self.network.shape, self.network.model["decoder"]["layers"]
        mask = additive_mask(attention_mask)
        cross, past = cache[: 2 * len(layers)], cache[2 * len(layers) :]
        position = past[0].shape[2]
        x = self.table.index_select(1, input_ids.reshape(-1)).t().unsqueeze(1)  # (rows, 1, hidden)
        if shape.scale_embedding:
            x = x * shape.hidden**0.5
        x = x + self.network.positions[position : position + 1]
        present: list[Tensor] = []
        for index, (layer, qkv) in enumerate(zip(layers, self.fused, strict=True)):
            pair = slice(2 * index, 2 * index + 2)
            attended, extended = self_attention(layer, qkv(x), *past[pair])
            x = layer.self_attn_layer_norm(x + attended)
            x = layer.encoder_attn_layer_norm(x + cross_attention(layer, x, *cross[pair], mask))
            x = layer.feed_forward(x)
            present += extended
        # Reshaped before the multiplication: removing a dimension of the logits would copy them.
        logits = x.reshape(-1, shape.hidden) @ self.table + self.network.final_logits_bias
        return [logits, *present]


def fuse_qkv(layer: Layer) -> nn.Linear:
    """Return one projection that computes query, key and value of the self-attention."""
    projections = (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj)
    fused = nn.Linear(projections[0].in_features, 3 * projections[0].out_features)
    with torch.no_grad():
        fused.weight.copy_(torch.cat([projection.weight for projection in projections]))
        fused.bias.copy_(torch.cat([projection.bias for projection in projections]))
    return fused


def self_attention(layer: Layer, qkv: Tensor, past_key: Tensor, past_value: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return (rows, 1, hidden) and the extended key and value; `qkv` is (rows, 1, 3 × hidden)."""
    attention = layer.self_attn
    hidden = attention.out_proj.in_features
    size = hidden // attention.heads
    query, key, value = (projected.reshape(-1, attention.heads, 1, size) for projected in qkv.split([hidden] * 3, 2))
    key, value = torch.cat([past_key, key], 2), torch.cat([past_value, value], 2)
    scores = query @ key.transpose(2, 3) * size**-0.5
    return attention.out_proj((scores.softmax(3) @ value).reshape(-1, 1, hidden)), [key, value]


def cross_attention(layer: Layer, x: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Return (rows, 1, hidden); the beams of a source are the queries of one attention."""
    attention = layer.encoder_attn
    hidden = attention.out_proj.in_features
    size = hidden // attention.heads
    query = (
        attention.q_proj(x).reshape(key.shape[0], -1, attention.heads, size).transpose(1, 2)
    )  # (batch, heads, beams, head_size)
    scores = query @ key * size**-0.5 + mask
    projected: Tensor = attention.out_proj((scores.softmax(3) @ value).transpose(1, 2).reshape(-1, 1, hidden))
    return projected


def tensor_names(prefix: str, layers: int) -> list[str]:
    return [f"{prefix}_{tensor}_{layer}" for layer in range(layers) for tensor in TENSORS]


def graphs(shape: Shape) -> dict[str, Callable[[nn.Module | None, Path], None]]:
    """Return the value of `Recipe.graphs` for a Marian network of this shape."""
    cross, past, present = (tensor_names(prefix, shape.decoder_layers) for prefix in ("cross", "past", "present"))
    batch, beams, source, generated = EXAMPLE
    head_size = shape.hidden // shape.heads
    ids, mask = torch.ones(batch, source, dtype=torch.int64), torch.ones(batch, source, dtype=torch.int64)
    source_axes: dict[str, dict[int, str]] = {
        name: {0: "batch", 1: "source"} for name in ("input_ids", "attention_mask")
    }
    cross_axes = {name: {0: "batch", 3 if "key" in name else 2: "source"} for name in cross}

    def write_encoder(network: nn.Module | None, path: Path) -> None:
        assert isinstance(network, Marian)
        write(Encoder(network), {"input_ids": ids, "attention_mask": mask}, cross, source_axes | cross_axes, path)

    def write_decoder(network: nn.Module | None, path: Path) -> None:
        assert isinstance(network, Marian)
        rows = batch * beams
        inputs = {"input_ids": torch.ones(rows, 1, dtype=torch.int64), "attention_mask": mask}
        for name in cross:
            sizes = (head_size, source) if "key" in name else (source, head_size)
            inputs[name] = torch.zeros(batch, shape.heads, *sizes)
        inputs |= {name: torch.zeros(rows, shape.heads, generated, head_size) for name in past}
        axes = source_axes | cross_axes | {"input_ids": {0: "rows"}, "logits": {0: "rows"}}
        axes |= {name: {0: "rows", 2: "written"} for name in past} | {name: {0: "rows", 2: "grown"} for name in present}
        write(DecoderStep(network), inputs, ["logits", *present], axes, path)

    return {"main": write_encoder, "decoder": write_decoder}


def write(
    network: nn.Module, inputs: dict[str, Tensor], outputs: list[str], axes: dict[str, dict[int, str]], path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )


class Seq2SeqReference(ReferenceModel):
    def __init__(self, network: nn.Module, served: Model) -> None:
        assert isinstance(network, Marian)
        super().__init__(served)
        self.networks = {"main": Encoder(network).eval(), "decoder": DecoderStep(network).eval()}

    def run(self, feeds: dict[str, np.ndarray[Any, Any]], graph: str = "main") -> list[np.ndarray[Any, Any]]:
        with torch.no_grad():
            values = [torch.from_numpy(feeds[tensor.name]) for tensor in self.manifest.graphs[graph].inputs]
            return [value.numpy() for value in self.networks[graph](*values)]


def head(shape: Shape, *, start: int, eos: int, max_new: int, **options: Any) -> Seq2Seq:
    """Return the manifest's description of the graphs."""
    return Seq2Seq(
        layers=shape.decoder_layers,
        heads=shape.heads,
        head_size=shape.hidden // shape.heads,
        start=start,
        eos=eos,
        max_new=max_new,
        **options,
    )
