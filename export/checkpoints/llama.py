"""Hugging Face Llama folders."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from hearth_build.checkpoints.decoders import decoder_recipe
from hearth_build.checkpoints.folder import Checkpoint
from hearth_build.networks.gpt import Shape, Stretch
from hearth_build.recipe import Recipe, RecipeError

PARTS = {
    "input_layernorm": "before_attention",
    "self_attn.o_proj": "attention.out",
    "post_attention_layernorm": "before_feed_forward",
    "mlp.down_proj": "feed_forward.down",
}
PACKED = {
    "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "feed_forward.up": ("mlp.gate_proj", "mlp.up_proj"),
}
"""Ours is theirs, one below the other."""
OUTSIDE = {"embed_tokens.weight": "tokens.weight", "norm.weight": "norm.weight", "lm_head.weight": "head.weight"}


def recipe_of(checkpoint: Checkpoint) -> Recipe:
    shape = shape_of(checkpoint)
    return decoder_recipe(checkpoint, shape, lambda weights: renamed(weights, shape.tied))


def shape_of(checkpoint: Checkpoint) -> Shape:
    config, where = checkpoint.config, f"{checkpoint.folder}/config.json"
    if config.get("hidden_act", "silu") != "silu":
        raise RecipeError(f"{where}: hidden_act must be silu, not {config['hidden_act']!r}.")
    bias = config.get("attention_bias", False)
    if bias != config.get("mlp_bias", False):
        raise RecipeError(f"{where}: attention_bias and mlp_bias must be the same.")
    theta, stretch = rotary_of(config, where)
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
        theta=theta,
        stretch=stretch,
    )


def rotary_of(config: dict[str, Any], where: str) -> tuple[float, Stretch | None]:
    """transformers writes it in one of two forms."""
    how = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = float(how.get("rope_theta", config.get("rope_theta", 10_000.0)))
    kind = how.get("rope_type", how.get("type", "default"))
    if kind == "default":
        return theta, None
    if kind != "llama3":
        raise RecipeError(f"{where}: rope_type {kind!r} is not imported; `default` and `llama3` are.")
    names = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
    return theta, Stretch(*(how[name] for name in names))


def renamed(weights: dict[str, Tensor], tied: bool) -> dict[str, Tensor]:
    """Ours by our names."""
    theirs = {name.removeprefix("model."): value for name, value in weights.items()}
    found = {ours: theirs.pop(name) for name, ours in OUTSIDE.items() if name in theirs}
    if tied:
        found.pop("head.weight", None)
    layers = {match[1] for match in (re.match(r"layers\.(\d+)\.", name) for name in theirs) if match}
    for layer in layers:
        for part in ("weight", "bias"):
            for name, ours in PARTS.items():
                value = theirs.pop(f"layers.{layer}.{name}.{part}", None)
                if value is not None:
                    found[f"blocks.{layer}.{ours}.{part}"] = value
            for ours, names in PACKED.items():
                values = [theirs.pop(f"layers.{layer}.{name}.{part}", None) for name in names]
                if all(value is not None for value in values):
                    found[f"blocks.{layer}.{ours}.{part}"] = torch.cat(values)  # type: ignore[arg-type]
    return found | {name: value for name, value in theirs.items() if not name.endswith("rotary_emb.inv_freq")}
