"""A checkpoint of llama2.c: its weights and its tokenizer, read from their binary files."""

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
    title="stories260K, a Llama-shaped model of TinyStories",
    published=PUBLISHED,
    licence="MIT",
    sha256="b0a507e7ad0f626624f17112325e66691f9076d622e1d3274d103d00299f2696",
)
TOKENS = Source(
    path="weights/stories260K/tok512.bin",
    title="stories260K's tokenizer",
    published=PUBLISHED,
    licence="MIT",
    sha256="037cb335abb25d1fa9e8ecae30ed2a3a8ace9302862ebcdc05d51a6bbb10c312",
)
UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"
SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
"""How sentencepiece writes a space."""
SHAPE = Shape(vocabulary=512, width=64, layers=5, heads=8, kv_heads=4, head_size=8, inner=172, context=512)


def prepare(work: Path) -> None:
    """Write tokenizer.json; the weights are read where they lie."""
    tokenizer_of(TOKENS.file().read_bytes()).save(str(work / "tokenizer.json"), pretty=False)


def tokenizer_of(raw: bytes) -> Tokenizer:
    """The file: the longest token's length; then of each token a float32 score, an int32 length, and its bytes."""
    words, place = [], 4
    while place < len(raw):
        _, length = struct.unpack_from("<fi", raw, place)
        words.append(raw[place + 8 : place + 8 + length].decode("utf-8").replace(" ", SPACE))
        place += 8 + length
    words[:3] = [UNKNOWN, BEGIN, END]
    numbers = {word: number for number, word in enumerate(words)}
    # A token's number is its rank among the merges; every pair of tokens that makes one up may be merged to it.
    pairs = [
        (word[:cut], word[cut:])
        for word in words[3:]
        for cut in range(1, len(word))
        if not word.startswith("<0x") and word[:cut] in numbers and word[cut:] in numbers
    ]
    tokenizer = Tokenizer(models.BPE(numbers, pairs, unk_token=UNKNOWN, byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, numbers[BEGIN])]
    )
    tokenizer.add_special_tokens([AddedToken(word, normalized=False) for word in (UNKNOWN, BEGIN, END)])
    return tokenizer


def network(work: Path) -> Decoder:
    decoder = Decoder(SHAPE)
    decoder.load_state_dict(weights_of(WEIGHTS.file().read_bytes()))
    return decoder


def weights_of(raw: bytes) -> dict[str, Tensor]:
    """The file: seven int32 that say the shape, then float32 matrices, each kind for all layers after another."""
    shape = SHAPE
    header = (64, 172, 5, 8, 4, 512, 512)
    if struct.unpack_from("<7i", raw) != header:
        raise ValueError(f"the header must be {header}")
    numbers, place = np.frombuffer(raw, "<f4", offset=28), 0

    def take(*size: int) -> Tensor:
        nonlocal place
        found = numbers[place : place + int(np.prod(size))].reshape(size)
        place += found.size
        return torch.from_numpy(found.copy())

    layers, width, inner = shape.layers, shape.width, shape.inner
    found = {"tokens.weight": take(shape.vocabulary, width)}
    before_attention = take(layers, width)
    query = halves(take(layers, shape.heads, shape.head_size, width))
    key = halves(take(layers, shape.kv_heads, shape.head_size, width))
    value = take(layers, shape.kv_heads * shape.head_size, width)
    out, before_feed_forward = take(layers, width, width), take(layers, width)
    gate, down, up = take(layers, inner, width), take(layers, width, inner), take(layers, inner, width)
    for layer in range(layers):
        found |= {
            f"blocks.{layer}.before_attention.weight": before_attention[layer],
            f"blocks.{layer}.attention.qkv.weight": torch.cat((query[layer], key[layer], value[layer])),
            f"blocks.{layer}.attention.out.weight": out[layer],
            f"blocks.{layer}.before_feed_forward.weight": before_feed_forward[layer],
            f"blocks.{layer}.feed_forward.up.weight": torch.cat((gate[layer], up[layer])),
            f"blocks.{layer}.feed_forward.down.weight": down[layer],
        }
    return found | {"norm.weight": take(width)}


def halves(matrix: Tensor) -> Tensor:
    """llama2.c turns neighbours in a head, we turn a half against the other: (layers, heads, head, width) reordered."""
    return torch.cat((matrix[:, :, 0::2], matrix[:, :, 1::2]), 2).flatten(1, 2)
