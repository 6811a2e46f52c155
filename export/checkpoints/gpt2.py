"""Hugging Face GPT-2 folders."""

from __future__ import annotations

import re

from torch import Tensor

from hearth_build.checkpoints.decoders import decoder_recipe
from hearth_build.checkpoints.folder import Checkpoint
from hearth_build.networks.gpt import Shape
from hearth_build.recipe import Recipe, RecipeError

ACTIVATIONS = {"gelu_new": "gelu-tanh", "gelu_pytorch_tanh": "gelu-tanh", "gelu": "gelu"}
PARTS = {
    "ln_1": "before_attention",
    "attn.c_attn": "attention.qkv",
    "attn.c_proj": "attention.out",
    "ln_2": "before_feed_forward",
    "mlp.c_fc": "feed_forward.up",
    "mlp.c_proj": "feed_forward.down",
}
OUTSIDE = {"wte.weight": "tokens.weight", "wpe.weight": "positions.weight"}
OUTSIDE |= {f"ln_f.{part}": f"norm.{part}" for part in ("weight", "bias")}


def recipe_of(checkpoint: Checkpoint) -> Recipe:
    return decoder_recipe(checkpoint, shape_of(checkpoint), renamed)


def shape_of(checkpoint: Checkpoint) -> Shape:
    config, where = checkpoint.config, f"{checkpoint.folder}/config.json"
    activation = config.get("activation_function", "gelu_new")
    if activation not in ACTIVATIONS:
        raise RecipeError(f"{where}: activation_function {activation!r} is not imported; {', '.join(ACTIVATIONS)} are.")
    if not config.get("scale_attn_weights", True) or config.get("scale_attn_by_inverse_layer_idx", False):
        raise RecipeError(
            f"{where}: attention must be scaled as GPT-2's (scale_attn_weights true, the other one false)."
        )
    if not config.get("tie_word_embeddings", True):
        raise RecipeError(f"{where}: tie_word_embeddings must be true, as GPT-2's is.")
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


def renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Ours by our names; GPT-2 keeps its matrices the other way round."""
    found = {}
    for name, value in weights.items():
        name = name.removeprefix("transformer.")
        layer = re.fullmatch(r"h\.(\d+)\.(.+)\.(weight|bias)", name)
        if layer and layer[2] in PARTS:
            matrix = value.ndim == 2
            found[f"blocks.{layer[1]}.{PARTS[layer[2]]}.{layer[3]}"] = value.T.contiguous() if matrix else value
        elif not layer and name != "lm_head.weight":
            found[OUTSIDE.get(name, name)] = value
    return found
