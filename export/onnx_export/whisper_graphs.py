"""The two graphs of Whisper: `main` encodes a window of 30 seconds, `decoder` computes the logits after new tokens.

Cross-attention keys and values are outputs of the encoder, so they exist once for each window.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hearth_build.onnx_export.export import OPSET

TENSORS = ("key", "value")
FRAMES = 3000


class Encoder(nn.Module):
    """Every decoder layer's cross-attention keys (1, heads, head_size, frames) and values
    (1, heads, frames, head_size), from features (1, mels, FRAMES)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder, self.layers = model.model.encoder, model.model.decoder.layers

    def forward(self, input_features: Tensor) -> list[Tensor]:
        memory = self.encoder(input_features).last_hidden_state
        cross = []
        for layer in self.layers:
            attention = layer.encoder_attn
            cross += [
                split(attention, attention.k_proj(memory)).transpose(2, 3),
                split(attention, attention.v_proj(memory)),
            ]
        return cross


class Decoder(nn.Module):
    """Logits (1, vocabulary) after the last token, and the extended self-attention keys and values.

    `cache` is every layer's cross-attention key and value, as `Encoder` returns them, then every layer's self-attention
    key and value (1, heads, tokens before, head_size).
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.decoder, self.proj_out = model.model.decoder, model.proj_out

    def forward(self, input_ids: Tensor, *cache: Tensor) -> list[Tensor]:
        decoder = self.decoder
        cross, past = cache[: 2 * len(decoder.layers)], cache[2 * len(decoder.layers) :]
        before, new = past[0].shape[2], input_ids.shape[1]
        x = decoder.embed_tokens(input_ids) * getattr(decoder, "embed_scale", 1.0)
        x = x + decoder.embed_positions.weight[before : before + new]
        positions = torch.arange(before + new)
        mask = positions[None] > positions[before:, None]  # (new, before + new): what is later
        bias = torch.zeros(mask.shape).masked_fill(mask, -1e9)
        present: list[Tensor] = []
        for index, layer in enumerate(decoder.layers):
            pair = slice(2 * index, 2 * index + 2)
            attended, extended = self_attention(layer.self_attn, layer.self_attn_layer_norm(x), *past[pair], bias)
            x = x + attended
            x = x + cross_attention(layer.encoder_attn, layer.encoder_attn_layer_norm(x), *cross[pair])
            x = x + layer.fc2(layer.activation_fn(layer.fc1(layer.final_layer_norm(x))))
            present += extended
        return [self.proj_out(decoder.layer_norm(x[:, -1])), *present]


def split(attention: Any, projected: Tensor) -> Tensor:
    """(batch, heads, length, head_size) from (batch, length, hidden)."""
    batch, length = projected.shape[:2]
    return projected.reshape(batch, length, attention.num_heads, attention.head_dim).transpose(1, 2)


def merge(attention: Any, attended: Tensor) -> Tensor:
    """The output projection of (batch, heads, length, head_size)."""
    batch, _, length, _ = attended.shape
    projected: Tensor = attention.out_proj(attended.transpose(1, 2).reshape(batch, length, -1))
    return projected


def self_attention(attention: Any, x: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> tuple[Tensor, list[Tensor]]:
    query = split(attention, attention.q_proj(x)) * attention.scaling
    key = torch.cat([key, split(attention, attention.k_proj(x))], 2)
    value = torch.cat([value, split(attention, attention.v_proj(x))], 2)
    scores = query @ key.transpose(2, 3) + bias
    return merge(attention, scores.softmax(3) @ value), [key, value]


def cross_attention(attention: Any, x: Tensor, key: Tensor, value: Tensor) -> Tensor:
    query = split(attention, attention.q_proj(x)) * attention.scaling
    return merge(attention, (query @ key).softmax(3) @ value)


def tensor_names(prefix: str, layers: int) -> list[str]:
    return [f"{prefix}_{tensor}_{layer}" for layer in range(layers) for tensor in TENSORS]


def graphs(config: Any) -> dict[str, Callable[[nn.Module | None, Path], None]]:
    """Return the value of `Recipe.graphs` for transformers' WhisperForConditionalGeneration."""
    layers, heads = config.decoder_layers, config.decoder_attention_heads
    size, frames = config.d_model // heads, config.max_source_positions
    cross, past, present = (tensor_names(prefix, layers) for prefix in ("cross", "past", "present"))

    def write_encoder(network: nn.Module | None, path: Path) -> None:
        features = torch.randn(1, config.num_mel_bins, FRAMES)
        write(Encoder(network), (features,), ["input_features"], cross, {}, path)

    def write_decoder(network: nn.Module | None, path: Path) -> None:
        memory = [torch.randn(1, heads, *((size, frames) if "key" in name else (frames, size))) for name in cross]
        cache = [torch.randn(1, heads, 3, size) for _ in past]
        axes = {name: {2: "past"} for name in past} | {name: {2: "present"} for name in present}
        axes["input_ids"] = {1: "new"}
        inputs = (torch.ones(1, 2, dtype=torch.int64), *memory, *cache)
        write(Decoder(network), inputs, ["input_ids", *cross, *past], ["logits", *present], axes, path)

    return {"main": write_encoder, "decoder": write_decoder}


def write(
    network: nn.Module,
    inputs: tuple[Tensor, ...],
    names: list[str],
    outputs: list[str],
    axes: dict[str, dict[int, str]],
    path: Path,
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            inputs,
            str(path),
            input_names=names,
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
