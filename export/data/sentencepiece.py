"""Marian's two SentencePiece files and its vocab.json as one `tokenizers` file, without the sentencepiece package.

The format is Protocol Buffers (sentencepiece_model.proto in google/sentencepiece): pieces with scores, and the map of
characters that normalises a text.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import Unigram
from tokenizers.processors import TemplateProcessing

NORMAL, USER_DEFINED = 1, 4
"""Types of pieces that stand for text; others are control and unknown tokens."""
UNIGRAM = 1
TARGET_ONLY = -1e4
"""The score of a piece that the source's file lacks: a text is cut so only where nothing else fits."""


@dataclass(frozen=True)
class Pieces:
    scores: dict[str, float]
    charsmap: bytes
    """Compiled map of characters; empty: none."""


def read(path: Path) -> Pieces:
    """Raises ValueError for what is not a unigram model."""
    scores: dict[str, float] = {}
    charsmap, kind = b"", UNIGRAM
    try:
        for number, value in fields(path.read_bytes()):
            if number == 1 and isinstance(value, bytes):
                piece = dict(fields(value))
                if piece.get(3, NORMAL) in (NORMAL, USER_DEFINED):
                    scores[text_of(piece[1])] = float_of(piece.get(2, b"\0" * 4))
            elif number == 2 and isinstance(value, bytes):
                found = dict(fields(value)).get(3, UNIGRAM)
                kind = found if isinstance(found, int) else UNIGRAM
            elif number == 3 and isinstance(value, bytes):
                found = dict(fields(value)).get(2, b"")
                charsmap = found if isinstance(found, bytes) else b""
    except (IndexError, KeyError, UnicodeDecodeError, struct.error) as error:
        raise ValueError(f"{path} is not a SentencePiece model ({type(error).__name__})") from None
    if kind != UNIGRAM or not scores:
        raise ValueError(f"{path} is not a unigram SentencePiece model; only those are imported")
    return Pieces(scores, charsmap)


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a message; fixed-size values as their bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        match key & 7:
            case 0:
                number, at = varint(data, at)
                yield key >> 3, number
                continue
            case 1:
                size = 8
            case 2:
                size, at = varint(data, at)
            case 5:
                size = 4
            case _:
                raise IndexError("unknown wire type")
        if at + size > len(data):
            raise IndexError("a field ends after the file")
        yield key >> 3, data[at : at + size]
        at += size


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def text_of(value: int | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else ""


def float_of(value: int | bytes) -> float:
    return float(struct.unpack("<f", value)[0]) if isinstance(value, bytes) else 0.0


def tokenizer(folder: Path, eos: str = "</s>", unknown: str = "<unk>", pad: str = "<pad>") -> Tokenizer:
    """Of source.spm and vocab.json: the numbers are vocab.json's, the cuts source.spm's. Raises ValueError."""
    numbers: Mapping[str, int] = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    pieces = read(folder / "source.spm")
    if sorted(numbers.values()) != list(range(len(numbers))) or not {eos, unknown} <= numbers.keys():
        raise ValueError(f"{folder}/vocab.json must number its tokens 0, 1, 2, ..., {eos} and {unknown} among them")
    vocabulary = [
        (piece, pieces.scores.get(piece, TARGET_ONLY)) for piece in sorted(numbers, key=lambda piece: numbers[piece])
    ]
    made = Tokenizer(Unigram(vocabulary, numbers[unknown], False))
    mapped = [normalizers.Precompiled(pieces.charsmap)] if pieces.charsmap else []
    made.normalizer = normalizers.Sequence([*mapped, normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip()])
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    made.decoder = decoders.Metaspace(prepend_scheme="always")
    made.post_processor = TemplateProcessing(single=f"$A {eos}", special_tokens=[(eos, numbers[eos])])
    languages = [piece for piece in numbers if piece.startswith(">>") and piece.endswith("<<")]
    made.add_special_tokens([token for token in (eos, unknown, pad, *languages) if token in numbers])
    return made
