"""Hugging Face GPT-2 folders."""

from __future__ import annotations

import re

from torch import Tensor

from hearth_build.importing.base import ImportOptions
from hearth_build.importing.decoders import decoder_recipe
from hearth_build.importing.source import Source
from hearth_build.networks.gpt import Shape
from hearth_build.recipe import Recipe, RecipeError

ACTIVATIONS = {"gelu_new": "gelu-tanh", "gelu_pytorch_tanh": "gelu-tanh", "gelu": "gelu"}
LAYER_WEIGHTS = {
    "ln_1": "before_attention",
    "attn.c_attn": "attention.qkv",
    "attn.c_proj": "attention.out",
    "ln_2": "before_feed_forward",
    "mlp.c_fc": "feed_forward.up",
    "mlp.c_proj": "feed_forward.down",
}
"""Names within a layer: GPT-2's to ours."""
OTHER_WEIGHTS = {
    "wte.weight": "tokens.weight",
    "wpe.weight": "positions.weight",
    "ln_f.weight": "norm.weight",
    "ln_f.bias": "norm.bias",
}


def recipe_of(source: Source, options: ImportOptions) -> Recipe:
    return decoder_recipe(source, options, shape_of(source), rename_weights)


def shape_of(source: Source) -> Shape:
    config, config_path = source.config, f"{source.path}/config.json"
    activation = config.get("activation_function", "gelu_new")
    if activation not in ACTIVATIONS:
        raise RecipeError(
            f"{config_path}: activation_function {activation!r} is not supported; {', '.join(ACTIVATIONS)} are."
        )
    if not config.get("scale_attn_weights", True) or config.get("scale_attn_by_inverse_layer_idx", False):
        raise RecipeError(
            f"{config_path}: attention must be scaled as in GPT-2: scale_attn_weights true, "
            "scale_attn_by_inverse_layer_idx false."
        )
    if not config.get("tie_word_embeddings", True):
        raise RecipeError(f"{config_path}: tie_word_embeddings must be true, as in GPT-2.")
    width, heads = config["n_embd"], config["n_head"]
    return Shape(
        vocabulary=config["vocab_size"],
        width=width,
        layers=config["n_layer"],
        heads=heads,
        kv_heads=heads,
        head_size=width // heads,
        inner=config.get("n_inner") or 4 * width,
        context=config.get("n_positions", 1024),
        positions="learned",
        norm="layer",
        activation=ACTIVATIONS[activation],  # type: ignore[arg-type]
        bias=True,
        epsilon=config.get("layer_norm_epsilon", 1e-5),
    )


def rename_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under the names of `networks.gpt`; GPT-2 stores its matrices transposed."""
    renamed = {}
    for name, value in weights.items():
        name = name.removeprefix("transformer.")
        layer = re.fullmatch(r"h\.(\d+)\.(.+)\.(weight|bias)", name)
        if layer and layer[2] in LAYER_WEIGHTS:
            is_matrix = value.ndim == 2
            renamed[f"blocks.{layer[1]}.{LAYER_WEIGHTS[layer[2]]}.{layer[3]}"] = (
                value.T.contiguous() if is_matrix else value
            )
        elif not layer and name != "lm_head.weight":
            renamed[OTHER_WEIGHTS.get(name, name)] = value
    return renamed
