"""The families of decoder-only checkpoints: the names of their weights, and what their configuration means.

Configurations are read by transformers' own classes, which know the defaults. Every import is compared with
transformers' model, so a difference that is not described here is noticed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hearth_build.importing.decoder_weights import Family, by_group, by_head, by_head_unless_shared, by_shard
from hearth_build.onnx_export.decoder_architecture import Activation, Architecture, RotaryTable
from hearth_build.recipe import RecipeError

ACTIVATIONS: dict[str, Activation] = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu-tanh",
    "gelu_fast": "gelu-tanh",
    "gelu_pytorch_tanh": "gelu-tanh",
    "relu": "relu",
}
LLAMA_LAYER: dict[str, str | tuple[str, ...]] = {
    "before_attention": "input_layernorm",
    "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention.query_norm": "self_attn.q_norm",
    "attention.key_norm": "self_attn.k_norm",
    "attention.out": "self_attn.o_proj",
    "before_feed_forward": "post_attention_layernorm",
    "feed_forward.up": ("mlp.gate_proj", "mlp.up_proj"),
    "feed_forward.down": "mlp.down_proj",
}
LLAMA: dict[str, str | tuple[str, ...]] = {
    "tokens": "embed_tokens",
    "norm": "norm",
    "head": "lm_head",
} | LLAMA_LAYER
POST_NORMS: dict[str, str | tuple[str, ...]] = {
    "after_attention": "post_attention_layernorm",
    "before_feed_forward": "pre_feedforward_layernorm",
    "after_feed_forward": "post_feedforward_layernorm",
}
BLOOM_LAYER: dict[str, str | tuple[str, ...]] = {
    "before_attention": "input_layernorm",
    "before_feed_forward": "post_attention_layernorm",
    "feed_forward.up": "mlp.dense_h_to_4h",
    "feed_forward.down": "mlp.dense_4h_to_h",
}


def gated(config: Any) -> dict[str, Any]:
    return {"gated": True}


def gemma(config: Any) -> dict[str, Any]:
    require(not config.use_bidirectional_attention, "use_bidirectional_attention must be false")
    scalar = getattr(config, "query_pre_attn_scalar", None)
    return {
        "gated": True,
        "embedding_multiplier": config.hidden_size**0.5,
        "scale": scalar**-0.5 if scalar else None,
        "score_cap": getattr(config, "attn_logit_softcapping", None) or 0.0,
        "logit_cap": getattr(config, "final_logit_softcapping", None) or 0.0,
    }


def granite(config: Any) -> dict[str, Any]:
    return {
        "gated": True,
        "embedding_multiplier": config.embedding_multiplier,
        "residual_multiplier": config.residual_multiplier,
        "scale": config.attention_multiplier,
        "logit_multiplier": 1 / config.logits_scaling,
    }


def stablelm(config: Any) -> dict[str, Any]:
    require(not config.qk_layernorm, "qk_layernorm must be false")
    return {"gated": True, "norm": "layer", "parallel": config.use_parallel_residual}


def phi(config: Any) -> dict[str, Any]:
    require(not config.qk_layernorm, "qk_layernorm must be false")
    return {"norm": "layer", "parallel": True}


def starcoder2(config: Any) -> dict[str, Any]:
    return {"norm": "layer", "epsilon": config.norm_epsilon}


def gpt2(config: Any) -> dict[str, Any]:
    require(
        config.scale_attn_weights and not config.scale_attn_by_inverse_layer_idx,
        "attention must be scaled as in GPT-2: scale_attn_weights true, scale_attn_by_inverse_layer_idx false",
    )
    return {"norm": "layer"}


def gpt_neox(config: Any) -> dict[str, Any]:
    return {"norm": "layer", "parallel": config.use_parallel_residual}


def gptj(config: Any) -> dict[str, Any]:
    return {"norm": "layer", "parallel": True, "interleaved": True}


def opt(config: Any) -> dict[str, Any]:
    require(config.do_layer_norm_before, "do_layer_norm_before must be true")
    require(config.word_embed_proj_dim == config.hidden_size, "word_embed_proj_dim must be hidden_size")
    require(not config._remove_final_layer_norm, "_remove_final_layer_norm must be false")
    return {"norm": "layer", "epsilon": 1e-5}


def gpt_neo(config: Any) -> dict[str, Any]:
    kinds = config.attention_layers[: config.num_hidden_layers]
    windows = tuple(config.window_size if kind == "local" else 0 for kind in kinds)
    return {"norm": "layer", "scale": 1.0, "windows": windows}


def gpt_bigcode(config: Any) -> dict[str, Any]:
    require(config.scale_attn_weights, "scale_attn_weights must be true")
    return {"norm": "layer"} | ({"kv_heads": 1} if config.multi_query else {})


def falcon(config: Any) -> dict[str, Any]:
    require(not config.alibi, "alibi must be false")
    is_new = config.new_decoder_architecture
    shared = config.num_kv_heads if is_new else 1 if config.multi_query else config.num_attention_heads
    return {
        "norm": "layer",
        "parallel": is_new or config.parallel_attn,
        "kv_heads": shared,
        "activation": activation_of(config.activation),
    }


def falcon_norms(config: Any) -> dict[str, str]:
    has_two = config.new_decoder_architecture and config.num_ln_in_parallel_attn in (None, 2)
    return {"before_attention": "ln_attn", "before_feed_forward": "ln_mlp"} if has_two else {}


def mpt(config: Any) -> dict[str, Any]:
    attention, heads = config.attn_config, config.num_attention_heads
    require(attention.alibi and attention.alibi_bias_max == 8, "attn_config must have alibi, with alibi_bias_max 8")
    require(heads & (heads - 1) == 0, "n_heads must be a power of two")
    require(not config.logit_scale, "logit_scale must be null")
    require(not attention.clip_qkv and not attention.qk_ln, "attn_config must have neither clip_qkv nor qk_ln")
    return {
        "norm": "layer",
        "alibi": True,
        "activation": "gelu",
        "context": config.max_seq_len,
        "scale": attention.softmax_scale,
    }


def cohere(config: Any) -> dict[str, Any]:
    require(not getattr(config, "use_qk_norm", False), "use_qk_norm must be false")
    fields = {
        "norm": "layer",
        "parallel": True,
        "interleaved": True,
        "gated": True,
        "logit_multiplier": config.logit_scale,
    }
    types = getattr(config, "layer_types", None)
    if types:  # Command R7B: layers that attend to everything have no positions
        fields["layer_rotary"] = tuple("rotary" if kind == "sliding_attention" else "" for kind in types)
    return fields


def glm(config: Any) -> dict[str, Any]:
    return {"gated": True, "interleaved": True}


def bloom(config: Any) -> dict[str, Any]:
    require(not config.apply_residual_connection_post_layernorm, "its residual connections must be before the norms")
    # A checkpoint states no context; BLOOM was trained on 2,048 tokens.
    context = getattr(config, "seq_length", None) or 2048
    return {"norm": "layer", "alibi": True, "activation": "gelu-tanh", "context": context}


def activation_of(name: str) -> Activation:
    if name not in ACTIVATIONS:
        raise RecipeError(f"config.json: activation {name!r} is not supported; {', '.join(ACTIVATIONS)} are.")
    return ACTIVATIONS[name]


def require(condition: bool, message: str) -> None:
    if not condition:
        raise RecipeError(f"config.json: {message}; other variants are not supported.")


LLAMA_LIKE = Family("model.", "layers", LLAMA, gated)
PHI3 = LLAMA | {"attention.qkv": "self_attn.qkv_proj", "feed_forward.up": "mlp.gate_up_proj"}
GLM4 = LLAMA | {
    "feed_forward.up": "mlp.gate_up_proj",
    "after_attention": "post_self_attn_layernorm",
    "after_feed_forward": "post_mlp_layernorm",
}
GPT2: dict[str, str | tuple[str, ...]] = {
    "tokens": "wte",
    "positions": "wpe",
    "norm": "ln_f",
    "head": "lm_head",
    "before_attention": "ln_1",
    "attention.qkv": "attn.c_attn",
    "attention.out": "attn.c_proj",
    "before_feed_forward": "ln_2",
    "feed_forward.up": "mlp.c_fc",
    "feed_forward.down": "mlp.c_proj",
}
GPTJ: dict[str, str | tuple[str, ...]] = {
    "tokens": "wte",
    "norm": "ln_f",
    "head": "lm_head",
    "before_attention": "ln_1",
    "attention.qkv": ("attn.q_proj", "attn.k_proj", "attn.v_proj"),
    "attention.out": "attn.out_proj",
    "feed_forward.up": "mlp.fc_in",
    "feed_forward.down": "mlp.fc_out",
}
BLOOM = BLOOM_LAYER | {
    "tokens": "word_embeddings",
    "embedding_norm": "word_embeddings_layernorm",
    "norm": "ln_f",
    "head": "lm_head",
    "attention.qkv": "self_attention.query_key_value",
    "attention.out": "self_attention.dense",
}
FAMILIES = {
    "llama": LLAMA_LIKE,
    "mistral": LLAMA_LIKE,
    "ministral": LLAMA_LIKE,
    "qwen2": LLAMA_LIKE,
    "qwen3": LLAMA_LIKE,
    "smollm3": LLAMA_LIKE,
    "phi3": Family("model.", "layers", PHI3, gated),
    "gemma": Family("model.", "layers", LLAMA, gemma, norm_offset=1.0),
    "gemma2": Family("model.", "layers", LLAMA | POST_NORMS, gemma, norm_offset=1.0),
    "gemma3_text": Family("model.", "layers", LLAMA | POST_NORMS, gemma, norm_offset=1.0),
    "olmo2": Family("model.", "layers", LLAMA | POST_NORMS, gated),
    "olmo3": Family("model.", "layers", LLAMA | POST_NORMS, gated),
    "glm": Family("model.", "layers", LLAMA | {"feed_forward.up": "mlp.gate_up_proj"}, glm),
    "glm4": Family("model.", "layers", GLM4, glm),
    "cohere": Family("model.", "layers", LLAMA, cohere),
    "cohere2": Family("model.", "layers", LLAMA, cohere),
    "granite": Family("model.", "layers", LLAMA, granite),
    "stablelm": Family("model.", "layers", LLAMA, stablelm),
    "starcoder2": Family(
        "model.", "layers", LLAMA | {"feed_forward.up": "mlp.c_fc", "feed_forward.down": "mlp.c_proj"}, starcoder2
    ),
    "phi": Family(
        "model.",
        "layers",
        {
            "tokens": "embed_tokens",
            "norm": "final_layernorm",
            "head": "lm_head",
            "before_attention": "input_layernorm",
            "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
            "attention.out": "self_attn.dense",
            "feed_forward.up": "mlp.fc1",
            "feed_forward.down": "mlp.fc2",
        },
        phi,
    ),
    "gpt2": Family("transformer.", "h", GPT2, gpt2, transposed=True),
    "gpt_bigcode": Family("transformer.", "h", GPT2, gpt_bigcode, unpacked=by_head_unless_shared),
    "gpt_neo": Family(
        "transformer.",
        "h",
        GPT2
        | {
            "attention.qkv": ("attn.attention.q_proj", "attn.attention.k_proj", "attn.attention.v_proj"),
            "attention.out": "attn.attention.out_proj",
        },
        gpt_neo,
    ),
    "gptj": Family("transformer.", "h", GPTJ, gptj),
    "codegen": Family("transformer.", "h", GPTJ | {"attention.qkv": "attn.qkv_proj"}, gptj, unpacked=by_shard),
    "mpt": Family(
        "transformer.",
        "blocks",
        {
            "tokens": "wte",
            "norm": "norm_f",
            "head": "lm_head",
            "before_attention": "norm_1",
            "attention.qkv": "attn.Wqkv",
            "attention.out": "attn.out_proj",
            "before_feed_forward": "norm_2",
            "feed_forward.up": "ffn.up_proj",
            "feed_forward.down": "ffn.down_proj",
        },
        mpt,
    ),
    "gpt_neox": Family(
        "gpt_neox.",
        "layers",
        {
            "tokens": "embed_in",
            "norm": "final_layer_norm",
            "head": "embed_out",
            "attention.qkv": "attention.query_key_value",
            "attention.out": "attention.dense",
        }
        | BLOOM_LAYER,
        gpt_neox,
        unpacked=by_head,
    ),
    "opt": Family(
        "model.decoder.",
        "layers",
        {
            "tokens": "embed_tokens",
            "positions": "embed_positions",
            "norm": "final_layer_norm",
            "head": "lm_head",
            "before_attention": "self_attn_layer_norm",
            "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
            "attention.out": "self_attn.out_proj",
            "before_feed_forward": "final_layer_norm",
            "feed_forward.up": "fc1",
            "feed_forward.down": "fc2",
        },
        opt,
        first_position=2,
    ),
    "bloom": Family("transformer.", "h", BLOOM, bloom, unpacked=by_head),
    "falcon": Family("transformer.", "h", BLOOM, falcon, falcon_norms, unpacked=by_group),
}
"""By `model_type`."""


def first(config: Any, *names: str) -> Any:
    """The first of the configuration's values that is set."""
    return next((value for name in names if (value := getattr(config, name, None)) is not None), None)


def architecture_of(family: Family, config: Any, rotary: Mapping[str, RotaryTable]) -> Architecture:
    """Read transformers' configuration. `rotary` has the tables by the type of layer, or one under "". Raises
    RecipeError for what the graph cannot express."""
    activation = first(config, "hidden_act", "hidden_activation", "activation_function") or "gelu_new"
    contexts = [first(config, "max_position_embeddings", "n_positions") or 0]
    contexts += [len(table.cosine) for table in rotary.values()]
    layers, heads, width = config.num_hidden_layers, config.num_attention_heads, config.hidden_size
    types = getattr(config, "layer_types", None) or [""] * layers
    names = [kind if kind in rotary else "" for kind in types] if rotary else []
    has_rotary = getattr(config, "no_rope_layers", None) or [1] * layers
    fields = {
        "vocabulary": config.vocab_size,
        "width": width,
        "layers": layers,
        "heads": heads,
        "kv_heads": first(config, "num_key_value_heads") or heads,
        "head_size": first(config, "head_dim") or width // heads,
        "context": min(contexts),
        "norm": "rms",
        "epsilon": first(config, "rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon"),
        "activation": activation_of(activation),
        "rotary": {f"rotary.{name}".rstrip("."): table for name, table in rotary.items()},
        "layer_rotary": tuple(
            f"rotary.{name}".rstrip(".") if keeps else "" for name, keeps in zip(names, has_rotary, strict=True)
        )
        if rotary
        else (),
        "windows": tuple(window(config, kind) for kind in types),
    }
    return Architecture(**fields | family.options(config))


def window(config: Any, layer_type: str) -> int:
    """Number of tokens that a layer attends to; 0 for all."""
    size = getattr(config, "sliding_window", None)
    if not size or not getattr(config, "use_sliding_window", True) or layer_type == "full_attention":
        return 0
    return int(size)
