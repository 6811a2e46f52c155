"""Hugging Face Llama folders."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from hearth_build.importing.base import ImportOptions
from hearth_build.importing.decoders import decoder_recipe
from hearth_build.importing.source import Source
from hearth_build.networks.gpt import RopeScaling, Shape
from hearth_build.recipe import Recipe, RecipeError

LAYER_WEIGHTS = {
    "input_layernorm": "before_attention",
    "self_attn.o_proj": "attention.out",
    "post_attention_layernorm": "before_feed_forward",
    "mlp.down_proj": "feed_forward.down",
}
"""Names within a layer: Llama's to ours."""
PACKED_WEIGHTS = {
    "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "feed_forward.up": ("mlp.gate_proj", "mlp.up_proj"),
}
"""Our matrix is Llama's matrices concatenated along the rows."""
OTHER_WEIGHTS = {"embed_tokens.weight": "tokens.weight", "norm.weight": "norm.weight", "lm_head.weight": "head.weight"}


def recipe_of(source: Source, options: ImportOptions) -> Recipe:
    shape = shape_of(source)
    return decoder_recipe(source, options, shape, lambda weights: rename_weights(weights, shape.tied))


def shape_of(source: Source) -> Shape:
    config, config_path = source.config, f"{source.path}/config.json"
    if config.get("hidden_act", "silu") != "silu":
        raise RecipeError(f"{config_path}: hidden_act must be silu, not {config['hidden_act']!r}.")
    bias = config.get("attention_bias", False)
    if bias != config.get("mlp_bias", False):
        raise RecipeError(f"{config_path}: attention_bias and mlp_bias must be equal.")
    rope_theta, rope_scaling = rope_of(config, config_path)
    width, heads = config["hidden_size"], config["num_attention_heads"]
    return Shape(
        vocabulary=config["vocab_size"],
        width=width,
        layers=config["num_hidden_layers"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_size=config.get("head_dim") or width // heads,
        inner=config["intermediate_size"],
        context=config.get("max_position_embeddings", 2048),
        bias=bias,
        tied=config.get("tie_word_embeddings", False),
        epsilon=config.get("rms_norm_eps", 1e-6),
        rope_theta=rope_theta,
        rope_scaling=rope_scaling,
    )


def rope_of(config: dict[str, Any], config_path: str) -> tuple[float, RopeScaling | None]:
    """Return rope_theta and the scaling; newer versions of transformers write both into `rope_parameters`."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = float(rope.get("rope_theta", config.get("rope_theta", 10_000.0)))
    rope_type = rope.get("rope_type", rope.get("type", "default"))
    if rope_type == "default":
        return theta, None
    if rope_type != "llama3":
        raise RecipeError(f"{config_path}: rope_type {rope_type!r} is not supported; `default` and `llama3` are.")
    names = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    return theta, RopeScaling(*(rope[name] for name in names))


def rename_weights(weights: dict[str, Tensor], tied: bool) -> dict[str, Tensor]:
    """Return the weights under the names of `networks.gpt`."""
    remaining = {name.removeprefix("model."): value for name, value in weights.items()}
    renamed = {ours: remaining.pop(name) for name, ours in OTHER_WEIGHTS.items() if name in remaining}
    if tied:
        renamed.pop("head.weight", None)
    layers = {match[1] for match in (re.match(r"layers\.(\d+)\.", name) for name in remaining) if match}
    for layer in layers:
        for suffix in ("weight", "bias"):
            for name, ours in LAYER_WEIGHTS.items():
                value = remaining.pop(f"layers.{layer}.{name}.{suffix}", None)
                if value is not None:
                    renamed[f"blocks.{layer}.{ours}.{suffix}"] = value
            for ours, names in PACKED_WEIGHTS.items():
                values = [remaining.pop(f"layers.{layer}.{name}.{suffix}", None) for name in names]
                if all(value is not None for value in values):
                    renamed[f"blocks.{layer}.{ours}.{suffix}"] = torch.cat(values)  # type: ignore[arg-type]
    return renamed | {name: value for name, value in remaining.items() if not name.endswith("rotary_emb.inv_freq")}
