"""The two graphs of any encoder-decoder of transformers: `main` encodes, `decoder` computes one token of every beam.

Cross-attention keys and values exist once for each source, whatever the number of its beams: the exported decoder
treats the beams of a source as the queries of one attention.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from hearth.models.model import Model
from hearth_build.onnx_export.attention import NAME
from hearth_build.onnx_export.export import exported
from hearth_build.onnx_export.reference import ReferenceModel

EXAMPLE = (2, 3, 5, 4)
"""Sizes of the exported example: sources, beams, source tokens, tokens generated so far."""
GraphWriter = Callable[[nn.Module | None, Path], None]


class Encoder(nn.Module):
    """Every decoder layer's cross-attention key and value (batch, heads, source, head_size), from source tokens."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> list[Tensor]:
        states = self.model.get_encoder()(input_ids=input_ids, attention_mask=attention_mask)[0]
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        # Keys and values do not depend on the decoder's token; the exporter drops everything else.
        self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=attention_mask,
            decoder_input_ids=torch.zeros_like(input_ids[:, :1]),
            cache=cache,
            use_cache=True,
        )
        return [tensor for layer in cache.cross_attention_cache.layers for tensor in (layer.keys, layer.values)]


class DecoderStep(nn.Module):
    """Logits (rows, vocabulary) of the next token, and the extended self-attention keys and values.

    `rows` are the beams of each source one after another. `cache` is every layer's cross-attention key and value, as
    `Encoder` returns them, then every layer's self-attention key and value (rows, heads, generated, head_size).
    """

    def __init__(self, model: Any, layers: int) -> None:
        super().__init__()
        self.model, self.layers = model, layers

    def forward(self, input_ids: Tensor, attention_mask: Tensor, *cache: Tensor) -> list[Tensor]:
        cross, past = cache[: 2 * self.layers], cache[2 * self.layers :]
        if self.model.config._attn_implementation != NAME:  # transformers' own attention needs a source for each row
            beams = input_ids.shape[0] // attention_mask.shape[0]
            attention_mask = attention_mask.repeat_interleave(beams, 0)
            cross = tuple(tensor.repeat_interleave(beams, 0) for tensor in cross)
        caches = EncoderDecoderCache(filled_cache(past), filled_cache(cross))
        caches.is_updated = dict.fromkeys(range(self.layers), True)
        states = cross[0].new_zeros(attention_mask.shape[0], attention_mask.shape[1], 1)
        logits = self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=attention_mask,
            decoder_input_ids=input_ids,
            cache=caches,
            use_cache=True,
        ).logits
        present = [tensor for layer in caches.self_attention_cache.layers for tensor in (layer.keys, layer.values)]
        return [logits[:, -1], *present]


def filled_cache(tensors: tuple[Tensor, ...]) -> DynamicCache:
    cache = DynamicCache()
    for layer in range(len(tensors) // 2):
        cache.update(tensors[2 * layer], tensors[2 * layer + 1], layer)
    return cache


def shape_of(model: Any) -> tuple[int, int, int]:
    """The decoder's layers, the heads of its self-attention, and their size."""
    ids = torch.ones(1, 2, dtype=torch.int64)
    with torch.no_grad():
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        model(input_ids=ids, attention_mask=ids, decoder_input_ids=ids[:, :1], cache=cache, use_cache=True)
    keys = cache.self_attention_cache.layers[0].keys
    return len(cache.self_attention_cache.layers), keys.shape[1], keys.shape[3]


def tensor_names(prefix: str, layers: int) -> list[str]:
    return [f"{prefix}_{tensor}_{layer}" for layer in range(layers) for tensor in ("key", "value")]


def graphs(model: nn.Module, layers: int, heads: int, head_size: int) -> dict[str, GraphWriter]:
    """The value of `Recipe.graphs` for a network of transformers."""
    with torch.no_grad():
        keys = Encoder(model)(*(torch.ones(1, 2, dtype=torch.int64) for _ in range(2)))[0]
    cross_sizes = keys.shape[1], keys.shape[3]
    batch, beams, source, generated = EXAMPLE
    rows = batch * beams
    ids, mask = torch.ones(batch, source, dtype=torch.int64), torch.ones(batch, source, dtype=torch.int64)
    cross, past, present = (tensor_names(prefix, layers) for prefix in ("cross", "past", "present"))

    def decoder_inputs() -> dict[str, Tensor]:
        inputs = {"input_ids": torch.ones(rows, 1, dtype=torch.int64), "attention_mask": mask}
        inputs |= {name: torch.zeros(batch, cross_sizes[0], source, cross_sizes[1]) for name in cross}
        return inputs | {name: torch.zeros(rows, heads, generated, head_size) for name in past}

    source_axes = {0: "batch", 1: "source"}
    decoder_axes = {"input_ids": {0: "rows"}, "attention_mask": source_axes}
    decoder_axes |= {name: {0: "batch", 2: "source"} for name in cross}
    decoder_axes |= {name: {0: "rows", 2: "generated"} for name in past}
    write_encoder = exported(lambda: {"input_ids": ids, "attention_mask": mask}, source_axes, cross)
    write_decoder = exported(decoder_inputs, decoder_axes, ["logits", *present])

    def main(network: nn.Module | None, path: Path) -> None:
        assert network is not None
        write_encoder(Encoder(network), path)

    def decoder(network: nn.Module | None, path: Path) -> None:
        assert network is not None
        write_decoder(DecoderStep(network, layers), path)

    return {"main": main, "decoder": decoder}


class EncoderDecoderReference(ReferenceModel):
    """transformers' network in place of a loaded artifact, for comparisons."""

    def __init__(self, network: nn.Module, served: Model) -> None:
        super().__init__(served)
        layers = served.manifest.head.layers  # type: ignore[union-attr]
        self.networks = {"main": Encoder(network).eval(), "decoder": DecoderStep(network, layers).eval()}

    def run(self, feeds: dict[str, np.ndarray[Any, Any]], graph: str = "main") -> list[np.ndarray[Any, Any]]:
        with torch.no_grad():
            values = [torch.from_numpy(feeds[tensor.name]) for tensor in self.manifest.graphs[graph].inputs]
            return [value.numpy() for value in self.networks[graph](*values)]
