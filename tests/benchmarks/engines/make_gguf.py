"""llama.cpp's file of a GPT-2 checkpoint: matrices in q8_0 or q4_0, vectors and positions in fp32."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gguf
import numpy as np
from gguf import quants
from safetensors.numpy import load_file

PARTS = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
OUTSIDE = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm"}
KINDS = {"q8_0": gguf.GGMLQuantizationType.Q8_0, "q4_0": gguf.GGMLQuantizationType.Q4_0}


def gguf_name(name: str) -> str:
    """Map transformer.h.3.mlp.c_fc.weight to blk.3.ffn_up.weight."""
    parts = name.removeprefix("transformer.").split(".")
    if parts[0] == "h":
        return f"blk.{parts[1]}.{PARTS['.'.join(parts[2:-1])]}.{parts[-1]}"
    return f"{OUTSIDE[parts[0]]}.{parts[-1]}"


def write(checkpoint: Path, kind: str, target: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    vocabulary = json.loads((checkpoint / "tokenizer.json").read_text())["model"]["vocab"]
    writer = gguf.GGUFWriter(target, "gpt2")
    writer.add_context_length(config["n_positions"])
    writer.add_embedding_length(config["n_embd"])
    writer.add_feed_forward_length(4 * config["n_embd"])
    writer.add_block_count(config["n_layer"])
    writer.add_head_count(config["n_head"])
    writer.add_layer_norm_eps(config["layer_norm_epsilon"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(sorted(vocabulary, key=vocabulary.__getitem__))
    writer.add_token_types([gguf.TokenType.NORMAL] * len(vocabulary))
    writer.add_token_merges(["a b"])  # prompts are sent as token ids
    for name, value in load_file(checkpoint / "model.safetensors").items():
        if name == "lm_head.weight":
            continue  # tied to the embedding
        matrix = value.ndim == 2 and ".h." in f".{name}"
        value = np.ascontiguousarray(value.T if matrix else value, np.float32)  # GPT-2 stores them transposed
        if value.ndim == 2 and "wpe" not in name:
            writer.add_tensor(gguf_name(name), quants.quantize(value, KINDS[kind]), raw_dtype=KINDS[kind])
        else:
            writer.add_tensor(gguf_name(name), value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
