"""A checkpoint of llama2.c: reads its weights and its tokenizer from binary files."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
from torch import Tensor

from hearth_build.data.datasets import Source
from hearth_build.networks.gpt import Decoder, Shape

PUBLISHED = "https://huggingface.co/karpathy/tinyllamas/tree/main/stories260K"
WEIGHTS = Source(
    path="weights/stories260K/stories260K.bin",
    title="stories260K, a Llama-style model of TinyStories",
    published=PUBLISHED,
    licence="MIT",
    sha256="b0a507e7ad0f626624f17112325e66691f9076d622e1d3274d103d00299f2696",
)
TOKENIZER = Source(
    path="weights/stories260K/tok512.bin",
    title="stories260K's tokenizer",
    published=PUBLISHED,
    licence="MIT",
    sha256="037cb335abb25d1fa9e8ecae30ed2a3a8ace9302862ebcdc05d51a6bbb10c312",
)
UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"
SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
"""SentencePiece's symbol for a space."""
SHAPE = Shape(vocabulary=512, width=64, layers=5, heads=8, kv_heads=4, head_size=8, inner=172, context=512)


def prepare(work: Path) -> None:
    """Write tokenizer.json; the weights are read in place."""
    tokenizer_of(TOKENIZER.file().read_bytes()).save(str(work / "tokenizer.json"), pretty=False)


def tokenizer_of(raw: bytes) -> Tokenizer:
    """Build the tokenizer from llama2.c's file.

    The file has the length of the longest token, then for each token a float32 score, an int32 length and its bytes.
    """
    tokens, offset = [], 4
    while offset < len(raw):
        _, length = struct.unpack_from("<fi", raw, offset)
        tokens.append(raw[offset + 8 : offset + 8 + length].decode("utf-8").replace(" ", SPACE))
        offset += 8 + length
    tokens[:3] = [UNKNOWN, BEGIN, END]
    ids = {token: index for index, token in enumerate(tokens)}
    # A token's id is its rank among the merges. Every two tokens whose concatenation is a token may be merged to it.
    merges = [
        (token[:cut], token[cut:])
        for token in tokens[3:]
        for cut in range(1, len(token))
        if not token.startswith("<0x") and token[:cut] in ids and token[cut:] in ids
    ]
    tokenizer = Tokenizer(models.BPE(ids, merges, unk_token=UNKNOWN, byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, ids[BEGIN])])
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in (UNKNOWN, BEGIN, END)])
    return tokenizer


def network(work: Path) -> Decoder:
    decoder = Decoder(SHAPE)
    decoder.load_state_dict(weights_of(WEIGHTS.file().read_bytes()))
    return decoder


def weights_of(raw: bytes) -> dict[str, Tensor]:
    """Read the weights from llama2.c's file.

    The file has seven int32 of the shape, then float32 matrices; matrices of the same kind are stored for all layers
    together.
    """
    shape = SHAPE
    header = (64, 172, 5, 8, 4, 512, 512)
    if struct.unpack_from("<7i", raw) != header:
        raise ValueError(f"the header must be {header}")
    values, offset = np.frombuffer(raw, "<f4", offset=28), 0

    def take(*size: int) -> Tensor:
        nonlocal offset
        matrix = values[offset : offset + int(np.prod(size))].reshape(size)
        offset += matrix.size
        return torch.from_numpy(matrix.copy())

    layers, width, inner = shape.layers, shape.width, shape.inner
    weights = {"tokens.weight": take(shape.vocabulary, width)}
    before_attention = take(layers, width)
    query = reorder_rotary(take(layers, shape.heads, shape.head_size, width))
    key = reorder_rotary(take(layers, shape.kv_heads, shape.head_size, width))
    value = take(layers, shape.kv_heads * shape.head_size, width)
    out, before_feed_forward = take(layers, width, width), take(layers, width)
    gate, down, up = take(layers, inner, width), take(layers, width, inner), take(layers, inner, width)
    for layer in range(layers):
        weights |= {
            f"blocks.{layer}.before_attention.weight": before_attention[layer],
            f"blocks.{layer}.attention.qkv.weight": torch.cat((query[layer], key[layer], value[layer])),
            f"blocks.{layer}.attention.out.weight": out[layer],
            f"blocks.{layer}.before_feed_forward.weight": before_feed_forward[layer],
            f"blocks.{layer}.feed_forward.up.weight": torch.cat((gate[layer], up[layer])),
            f"blocks.{layer}.feed_forward.down.weight": down[layer],
        }
    return weights | {"norm.weight": take(width)}


def reorder_rotary(matrix: Tensor) -> Tensor:
    """Reorder the rows of each head, (layers, heads, head_size, width), for our rotary positions.

    llama2.c rotates pairs of adjacent rows; `networks.gpt` pairs the first half of a head with the second.
    """
    return torch.cat((matrix[:, :, 0::2], matrix[:, :, 1::2]), 2).flatten(1, 2)
