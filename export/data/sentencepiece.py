"""Convert Marian's SentencePiece file and vocab.json to one `tokenizers` file, without the sentencepiece package.

The format is Protocol Buffers (sentencepiece_model.proto in google/sentencepiece): pieces with scores, and the
character map that normalises a text.
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
"""Types of pieces that represent text. The others are control and unknown tokens."""
UNIGRAM = 1
TARGET_ONLY = -1e4
"""Score of a piece that is not in source.spm: so low that the piece is used only if nothing else fits."""


@dataclass(frozen=True)
class Pieces:
    scores: dict[str, float]
    charsmap: bytes
    """Compiled character map; empty if the model has none."""


def read(path: Path) -> Pieces:
    """Raises ValueError if the file is not a unigram model."""
    scores: dict[str, float] = {}
    charsmap, model_type = b"", UNIGRAM
    try:
        for number, value in read_fields(path.read_bytes()):
            if number == 1 and isinstance(value, bytes):
                piece = dict(read_fields(value))
                if piece.get(3, NORMAL) in (NORMAL, USER_DEFINED):
                    scores[to_text(piece[1])] = to_float(piece.get(2, b"\0" * 4))
            elif number == 2 and isinstance(value, bytes):
                field = dict(read_fields(value)).get(3, UNIGRAM)
                model_type = field if isinstance(field, int) else UNIGRAM
            elif number == 3 and isinstance(value, bytes):
                field = dict(read_fields(value)).get(2, b"")
                charsmap = field if isinstance(field, bytes) else b""
    except (IndexError, KeyError, UnicodeDecodeError, struct.error) as error:
        raise ValueError(f"{path} is not a SentencePiece model ({type(error).__name__})") from None
    if model_type != UNIGRAM or not scores:
        raise ValueError(f"{path} is not a unigram SentencePiece model. Other types cannot be imported")
    return Pieces(scores, charsmap)


def read_fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a message. Values of fixed size are yielded as bytes."""
    position = 0
    while position < len(data):
        key, position = read_varint(data, position)
        match key & 7:  # the wire type
            case 0:
                number, position = read_varint(data, position)
                yield key >> 3, number
                continue
            case 1:
                size = 8
            case 2:
                size, position = read_varint(data, position)
            case 5:
                size = 4
            case _:
                raise IndexError("unknown wire type")
        if position + size > len(data):
            raise IndexError("a field ends after the file")
        yield key >> 3, data[position : position + size]
        position += size


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """The value, and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return value, position


def to_text(value: int | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else ""


def to_float(value: int | bytes) -> float:
    return float(struct.unpack("<f", value)[0]) if isinstance(value, bytes) else 0.0


def build_tokenizer(
    folder: Path, eos: str = "</s>", unknown: str = "<unk>", pad: str = "<pad>", pieces_file: str = "source.spm"
) -> Tokenizer:
    """Build the tokenizer with the ids of vocab.json and the scores of source.spm, or of target.spm for the texts that
    the network learns to write. Raises ValueError."""
    vocab: Mapping[str, int] = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    pieces = read(folder / pieces_file)
    if sorted(vocab.values()) != list(range(len(vocab))) or not {eos, unknown} <= vocab.keys():
        raise ValueError(f"{folder}/vocab.json must number its tokens 0, 1, 2, ... and include {eos} and {unknown}")
    scored = [(piece, pieces.scores.get(piece, TARGET_ONLY)) for piece in sorted(vocab, key=lambda piece: vocab[piece])]
    tokenizer = Tokenizer(Unigram(scored, vocab[unknown], False))
    charsmap = [normalizers.Precompiled(pieces.charsmap)] if pieces.charsmap else []
    spaces = [normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip()]
    tokenizer.normalizer = normalizers.Sequence([*charsmap, *spaces])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = TemplateProcessing(single=f"$A {eos}", special_tokens=[(eos, vocab[eos])])
    languages = [piece for piece in vocab if piece.startswith(">>") and piece.endswith("<<")]
    tokenizer.add_special_tokens([token for token in (eos, unknown, pad, *languages) if token in vocab])
    return tokenizer
