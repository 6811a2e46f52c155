"""Words of tokens: whole words, characters of several tokens, tokens of several characters."""

from __future__ import annotations

import re

import pytest

from hearth.ops.text.token_words import token_words

WORD = re.compile(r"[\u4e00-\u9fff]|[a-z]+|[^\w\s]")


def words(pieces: list[str | bytes]) -> list[tuple[str, int, int]]:
    encoded = [piece.encode() if isinstance(piece, str) else piece for piece in pieces]

    def decode(tokens: object) -> str:
        return b"".join(encoded[token] for token in tokens).decode(errors="replace").strip()  # type: ignore[attr-defined]

    return [(word.text, word.first, word.end) for word in token_words(range(len(pieces)), decode, WORD)]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["a", " black", " do", "g", "."], [("a", 0, 1), ("black", 1, 2), ("dog", 2, 4), (".", 4, 5)]),
        (["", " a", " dog", ""], [("a", 0, 2), ("dog", 2, 4)]),  # special tokens belong to a word
        (["北京", "大"], [("北京", 0, 1), ("大", 1, 2)]),  # a token of two characters is one word
        ([b"\xe5\x8c", b"\x97", "京"], [("北", 0, 2), ("京", 2, 3)]),  # a character of two tokens
        (["a", " ", "dog"], [("a", 0, 1), ("dog", 1, 3)]),
        (["dog"], [("dog", 0, 1)]),
    ],
)
def test_each_token_belongs_to_a_word(pieces: list[str | bytes], expected: list[tuple[str, int, int]]) -> None:
    assert words(pieces) == expected
