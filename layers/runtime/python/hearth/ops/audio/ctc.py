"""Reading CTC outputs: the likeliest path, or the likeliest text by prefix beam search, and when it was said.

Graves et al. 2006 for CTC; the prefix search with a language model follows Hannun et al. 2014 (First-Pass Large
Vocabulary Continuous Speech Recognition using Bi-Directional Recurrent DNNs), in logarithms, which do not underflow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hearth import deadline

Logs: TypeAlias = NDArray[np.floating[Any]]
"""(frames, symbols), natural logarithms of probabilities."""
NEVER = float("-inf")
UNLIKELY = 9.0
"""Symbols so far below a frame's likeliest, in nats, begin no new prefix there."""


@dataclass(frozen=True)
class Heard:
    """A symbol and the frames that speak for it."""

    symbol: int
    first: int
    end: int
    """The frame after the last."""


@dataclass(frozen=True)
class Word:
    text: str
    first: int
    end: int


class Language(Protocol):
    """What is said of a symbol after others, as logarithms that are added to those of the sound."""

    def after(self, state: tuple[int, ...], symbol: int) -> tuple[float, tuple[int, ...]]:
        """The score of `symbol`, and the state after it. The state before all is ()."""

    def end(self, state: tuple[int, ...]) -> float:
        """The score of nothing more."""


def greedy(logs: Logs, blank: int) -> list[Heard]:
    """The likeliest symbol of each frame; repetitions are one, blanks separate."""
    if not len(logs):
        return []
    path = logs.argmax(1)  # (frames,)
    borders = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
    runs = pairwise(borders)
    return [Heard(int(path[first]), first, end) for first, end in runs if path[first] != blank]


class Prefix:
    """A text as its last symbol and what stands before it; equal only to itself."""

    __slots__ = ("frame", "language", "parent", "peak", "state", "symbol")

    def __init__(self, parent: Prefix | None, symbol: int, language: float, state: tuple[int, ...]) -> None:
        self.parent, self.symbol, self.language, self.state = parent, symbol, language, state
        self.frame, self.peak = 0, NEVER
        """Where the symbol was likeliest, and how likely."""


def beam_search(logs: Logs, blank: int, width: int, language: Language | None = None) -> list[Heard]:
    """The likeliest text over all of its paths, as far as the `width` best prefixes of each frame tell.

    Raises DeadlineExceeded."""
    root = Prefix(None, blank, 0.0, ())
    beams: dict[Prefix, tuple[float, float]] = {root: (0.0, NEVER)}  # ending in a blank, ending in the symbol
    for frame, values in enumerate(logs):
        deadline.check()
        row = values.tolist()
        least = max(row) - UNLIKELY
        symbols = [symbol for symbol, value in enumerate(row) if value >= least and symbol != blank]
        known = {(prefix.parent, prefix.symbol): prefix for prefix in beams}
        found: dict[Prefix, tuple[float, float]] = {}
        for prefix, (in_blank, in_symbol) in beams.items():
            total = add(in_blank, in_symbol)
            before = found.get(prefix, (NEVER, NEVER))
            stays = NEVER if prefix is root else add(before[1], in_symbol + row[prefix.symbol])
            found[prefix] = (add(before[0], total + row[blank]), stays)
            for symbol in symbols:
                # A symbol said twice needs a blank between, or it is one symbol that lasts.
                reached = in_blank if symbol == prefix.symbol and prefix is not root else total
                if reached == NEVER:
                    continue
                longer = known.get((prefix, symbol))
                if longer is None:
                    longer = known[prefix, symbol] = extended(prefix, symbol, language)
                if row[symbol] > longer.peak:
                    longer.frame, longer.peak = frame, row[symbol]
                before = found.get(longer, (NEVER, NEVER))
                found[longer] = (before[0], add(before[1], reached + row[symbol]))
        ranked = sorted(found, key=lambda prefix: add(*found[prefix]) + prefix.language, reverse=True)
        beams = {prefix: found[prefix] for prefix in ranked[:width]}

    def whole(prefix: Prefix) -> float:
        return add(*beams[prefix]) + prefix.language + (language.end(prefix.state) if language else 0.0)

    return spelled(max(beams, key=whole))


def extended(prefix: Prefix, symbol: int, language: Language | None) -> Prefix:
    if language is None:
        return Prefix(prefix, symbol, 0.0, ())
    score, state = language.after(prefix.state, symbol)
    return Prefix(prefix, symbol, prefix.language + score, state)


def spelled(prefix: Prefix) -> list[Heard]:
    heard = []
    while prefix.parent is not None:
        heard.append(Heard(prefix.symbol, prefix.frame, prefix.frame + 1))
        prefix = prefix.parent
    return heard[::-1]


def add(one: float, other: float) -> float:
    """log(exp(one) + exp(other))."""
    if one < other:
        one, other = other, one
    return one if other == NEVER else one + math.log1p(math.exp(other - one))


def words_of(heard: Sequence[Heard], labels: Sequence[str], gap: str = " ") -> list[Word]:
    """What stands between gaps, with the frames of its first and last symbol."""
    found: list[Word] = []
    letters: list[Heard] = []
    for symbol in [*heard, None]:
        if symbol is not None and labels[symbol.symbol] != gap:
            letters.append(symbol)
        elif letters:
            found.append(Word("".join(labels[letter.symbol] for letter in letters), letters[0].first, letters[-1].end))
            letters = []
    return found
