"""Which tokens of a written text are its words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple


class TokenWord(NamedTuple):
    text: str
    first: int
    """Its first token."""
    end: int
    """The token after its last."""


def token_words(
    tokens: Sequence[int], decode: Callable[[Sequence[int]], str], word: re.Pattern[str]
) -> list[TokenWord]:
    """The words of the text of `tokens`, as `word` matches them; those that share a token are one.

    Every token belongs to a word: what has no word of its own, such as a space or a special token, belongs to the word
    after it, or to the last one.
    """
    text = decode(tokens)
    starts = {match.start() for match in word.finditer(text)}
    cuts: list[tuple[int, int]] = []
    """Token and character at which each word but the first begins."""
    position = 0
    for index in range(1, len(tokens)):
        # A character of several tokens is complete only after its last one, so beginnings of the text are compared.
        position = max(position, _common(decode(tokens[:index]), text))
        begin = position + len(text[position:]) - len(text[position:].lstrip())
        if begin in starts and text[:begin].strip() and begin > (cuts[-1][1] if cuts else 0):
            cuts.append((index, begin))
    edges = [(0, 0), *cuts, (len(tokens), len(text))]
    return [
        TokenWord(text[start:stop].strip(), first, end)
        for (first, start), (end, stop) in pairwise(edges)
        if end > first
    ]


def _common(first: str, second: str) -> int:
    """The length of the beginning that two texts share."""
    pairs = zip(first, second, strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
