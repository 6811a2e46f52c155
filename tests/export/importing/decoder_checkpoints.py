"""Small random decoder-only checkpoints of every family that is imported, as transformers saves them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

V = 300
SHAPE: dict[str, Any] = {
    "vocab_size": V,
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": None,
}
SAME_HEADS = {key: value for key, value in SHAPE.items() if key != "num_key_value_heads"}
OLD: dict[str, Any] = {"vocab_size": V, "n_layer": 2, "n_head": 4, "bos_token_id": 0, "eos_token_id": 1}
GPT2 = OLD | {"n_embd": 64, "n_positions": 128, "initializer_range": 0.2}
FALCON = {key: SAME_HEADS[key] for key in SAME_HEADS if key != "intermediate_size"}
MIXED = ["sliding_attention", "full_attention", "sliding_attention"]


def rope(rope_type: str = "default", **fields: Any) -> dict[str, Any]:
    return {"rope_type": rope_type, "rope_theta": 10_000.0, **fields}


LONG = {"short_factor": [1 + i / 10 for i in range(8)], "long_factor": [2.0] * 8}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", SHAPE),
    "llama, tied, heads of 24, biases": (
        "LlamaConfig",
        SHAPE | {"head_dim": 24, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    ),
    "llama 3": (
        "LlamaConfig",
        SHAPE
        | {
            "rope_parameters": rope(
                "llama3",
                factor=8.0,
                low_freq_factor=1.0,
                high_freq_factor=4.0,
                original_max_position_embeddings=32,
            )
        },
    ),
    "llama, linear": ("LlamaConfig", SHAPE | {"rope_parameters": rope("linear", factor=2.0)}),
    "llama, yarn": (
        "LlamaConfig",
        SHAPE | {"rope_parameters": rope("yarn", factor=4.0, original_max_position_embeddings=32)},
    ),
    "llama, dynamic": ("LlamaConfig", SHAPE | {"rope_parameters": rope("dynamic", factor=4.0)}),
    "mistral": ("MistralConfig", SHAPE | {"sliding_window": 16}),
    "qwen2": (
        "Qwen2Config",
        SHAPE | {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1, "tie_word_embeddings": True},
    ),
    "qwen3": ("Qwen3Config", SHAPE | {"head_dim": 24, "attention_bias": True}),
    "smollm3": ("SmolLM3Config", SHAPE | {"no_rope_layers": [1, 0, 1], "tie_word_embeddings": True}),
    "phi3": ("Phi3Config", SHAPE | {"sliding_window": 16, "rope_parameters": rope(partial_rotary_factor=0.75)}),
    "phi3, longrope": (
        "Phi3Config",
        SHAPE
        | {
            "max_position_embeddings": 512,
            "original_max_position_embeddings": 128,
            "rope_parameters": rope("longrope", original_max_position_embeddings=128, **LONG),
        },
    ),
    "phi": ("PhiConfig", SAME_HEADS | {"rope_parameters": rope(partial_rotary_factor=0.5)}),
    "gemma": ("GemmaConfig", SHAPE | {"head_dim": 16}),
    "gemma2": (
        "Gemma2Config",
        SHAPE
        | {
            "head_dim": 24,
            "sliding_window": 16,
            "layer_types": MIXED,
            "query_pre_attn_scalar": 20,
            "final_logit_softcapping": 3.0,
            "attn_logit_softcapping": 2.0,
        },
    ),
    "gemma3": (
        "Gemma3TextConfig",
        SHAPE
        | {
            "head_dim": 24,
            "sliding_window": 16,
            "layer_types": MIXED,
            "query_pre_attn_scalar": 20,
            "rope_parameters": {"sliding_attention": rope(), "full_attention": rope("linear", factor=8.0)},
        },
    ),
    "olmo2": ("Olmo2Config", SHAPE),
    "granite": (
        "GraniteConfig",
        SHAPE
        | {
            "embedding_multiplier": 3.0,
            "logits_scaling": 2.0,
            "residual_multiplier": 0.7,
            "attention_multiplier": 0.3,
        },
    ),
    "stablelm": ("StableLmConfig", SHAPE | {"use_qkv_bias": True}),
    "stablelm, parallel": ("StableLmConfig", SHAPE | {"use_parallel_residual": True}),
    "starcoder2": ("Starcoder2Config", SHAPE | {"sliding_window": 16}),
    "gpt2": ("GPT2Config", GPT2),
    "gpt2, untied, relu, heads of 20": (
        "GPT2Config",
        GPT2 | {"n_embd": 80, "activation_function": "relu", "tie_word_embeddings": False},
    ),
    "gpt-neox": ("GPTNeoXConfig", SAME_HEADS),
    "gpt-neox, serial": ("GPTNeoXConfig", SAME_HEADS | {"use_parallel_residual": False}),
    "gpt-j": ("GPTJConfig", GPT2 | {"rotary_dim": 8}),
    "opt": (
        "OPTConfig",
        SAME_HEADS | {"ffn_dim": 128, "word_embed_proj_dim": 64, "init_std": 0.2, "pad_token_id": 1},
    ),
    "olmo3": ("Olmo3Config", SHAPE | {"sliding_window": 16, "layer_types": MIXED}),
    "glm": ("GlmConfig", SHAPE | {"head_dim": 16}),
    "glm4": ("Glm4Config", SHAPE | {"head_dim": 16}),
    "cohere": ("CohereConfig", SHAPE | {"logit_scale": 0.5}),
    "cohere2": ("Cohere2Config", SHAPE | {"sliding_window": 16, "layer_types": MIXED}),
    "gpt-neo": (
        "GPTNeoConfig",
        {
            "vocab_size": V,
            "hidden_size": 64,
            "num_layers": 3,
            "num_heads": 4,
            "attention_types": [[["global", "local", "local"], 1]],
            "window_size": 16,
            "max_position_embeddings": 128,
            "initializer_range": 0.2,
            "bos_token_id": 0,
            "eos_token_id": 1,
        },
    ),
    "gpt-bigcode": ("GPTBigCodeConfig", GPT2),
    "gpt-bigcode, a key for each head": ("GPTBigCodeConfig", GPT2 | {"multi_query": False}),
    "codegen": ("CodeGenConfig", GPT2 | {"rotary_dim": 8}),
    "mpt": (
        "MptConfig",
        {"vocab_size": V, "d_model": 64, "n_heads": 4, "n_layers": 2, "max_seq_len": 128, "initializer_range": 0.2},
    ),
    "falcon": ("FalconConfig", FALCON),
    "falcon, serial, a key for each head": (
        "FalconConfig",
        FALCON | {"multi_query": False, "parallel_attn": False, "bias": True},
    ),
    "falcon, shared keys": ("FalconConfig", FALCON | {"num_kv_heads": 2, "new_decoder_architecture": True}),
    "falcon, shared keys, one norm": (
        "FalconConfig",
        FALCON | {"num_kv_heads": 2, "new_decoder_architecture": True, "num_ln_in_parallel_attn": 1},
    ),
    "bloom": ("BloomConfig", OLD | {"hidden_size": 96, "n_head": 6, "initializer_range": 0.2}),
}


@functools.cache
def tokenizer() -> Tokenizer:
    """A byte-level BPE tokenizer that starts every text with <s>."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=V, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(["The quick brown fox jumps over the lazy dog, and the dog did not mind."], trainer)
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return bpe


def save(folder: Path, name: str, dtype: torch.dtype = torch.float32, **options: Any) -> Any:
    """Save a checkpoint of CONFIGS; returns transformers' model in fp32. `options` are those of save_pretrained."""
    transformers.logging.disable_progress_bar()
    torch.manual_seed(0)
    class_name, fields = CONFIGS[name]
    network = transformers.AutoModelForCausalLM.from_config(getattr(transformers, class_name)(**fields)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:  # biases and norms must matter too
                parameter.add_(torch.randn_like(parameter) * 0.1)
    network.to(dtype).save_pretrained(folder, **options)
    tokenizer().save(str(folder / "tokenizer.json"))
    return network.float()


def save_stories(folder: Path) -> None:
    """stories260K, whose weights are trained, as transformers would save it."""
    from safetensors.torch import save_file

    from hearth_build.recipes.stories260k import data

    shape, weights = data.SHAPE, data.weights_of(data.WEIGHTS.file().read_bytes())
    transformers.LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.context,
        rms_norm_eps=shape.epsilon,
        tie_word_embeddings=True,
        architectures=["LlamaForCausalLM"],
    ).save_pretrained(folder)
    tensors = {"model.embed_tokens.weight": weights["tokens.weight"], "model.norm.weight": weights["norm.weight"]}
    query, key = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    for layer in range(shape.layers):
        block, stored = f"blocks.{layer}", f"model.layers.{layer}"
        qkv, up = weights[f"{block}.attention.qkv.weight"], weights[f"{block}.feed_forward.up.weight"]
        parts = {
            "input_layernorm": weights[f"{block}.before_attention.weight"],
            "self_attn.q_proj": qkv[:query],
            "self_attn.k_proj": qkv[query : query + key],
            "self_attn.v_proj": qkv[query + key :],
            "self_attn.o_proj": weights[f"{block}.attention.out.weight"],
            "post_attention_layernorm": weights[f"{block}.before_feed_forward.weight"],
            "mlp.gate_proj": up[: shape.inner],
            "mlp.up_proj": up[shape.inner :],
            "mlp.down_proj": weights[f"{block}.feed_forward.down.weight"],
        }
        tensors |= {f"{stored}.{name}.weight": values.contiguous() for name, values in parts.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    data.tokenizer_of(data.TOKENIZER.file().read_bytes()).save(str(folder / "tokenizer.json"))
