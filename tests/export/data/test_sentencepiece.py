from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from hearth_build.data.sentencepiece import TARGET_ONLY, build_tokenizer, read


def field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2, len(value)]) + value


def piece(text: str, score: float, kind: int = 1) -> bytes:
    return field(1, field(1, text.encode()) + bytes([2 << 3 | 5]) + struct.pack("<f", score) + bytes([3 << 3, kind]))


PIECES = piece("<unk>", 0, 2) + piece("</s>", 0, 3) + piece("▁a", -1) + piece("▁ab", -1.5) + piece("b", -2)
VOCABULARY = {"</s>": 0, "<unk>": 1, "▁a": 2, "b": 3, "▁ab": 4, "▁only": 5, ">>de<<": 6, "<pad>": 7}


def save(folder: Path, model: bytes = PIECES, vocabulary: dict[str, int] = VOCABULARY) -> Path:
    (folder / "source.spm").write_bytes(model)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    return folder


def test_pieces_of_text_have_their_scores(tmp_path: Path) -> None:
    pieces = read(save(tmp_path) / "source.spm")
    assert pieces.scores == {"▁a": -1.0, "▁ab": -1.5, "b": -2.0}
    assert pieces.charsmap == b""


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x0a\xff", "is not a SentencePiece model"),
        (b"\x0f", "is not a SentencePiece model"),
        (PIECES + bytes([3 << 3 | 2, 9]) + b"ab", "is not a SentencePiece model"),
        (b"", "is not a unigram SentencePiece model"),
        (PIECES + field(2, bytes([3 << 3, 2])), "is not a unigram SentencePiece model"),
    ],
)
def test_other_files_are_refused(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read(save(tmp_path, data) / "source.spm")


def test_the_tokenizer_has_the_numbers_of_the_vocabulary(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(save(tmp_path))
    assert tokenizer.encode(" ab  a ").tokens == ["▁ab", "▁a", "</s>"]
    assert tokenizer.encode("ab").ids == [4, 0]
    assert tokenizer.encode(">>de<< a").ids[0] == 6, "a language token is never split"
    assert json.loads(tokenizer.to_str())["model"]["vocab"][5] == ["▁only", TARGET_ONLY]
    assert tokenizer.decode([4, 2, 0]) == "ab a"


@pytest.mark.parametrize("vocabulary", [{"</s>": 0, "<unk>": 2}, {"a": 0, "<unk>": 1}])
def test_vocabularies_with_gaps_or_without_an_end_are_refused(vocabulary: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must number its tokens 0, 1, 2"):
        build_tokenizer(save(tmp_path, vocabulary=vocabulary))
