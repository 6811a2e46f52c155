"""Decodes CTC outputs: the likeliest path, or the likeliest text by prefix beam search, with the frames of each symbol.

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
NEGATIVE_INFINITY = float("-inf")
PRUNING_MARGIN = 9.0
"""Symbols that are this much less likely than a frame's likeliest symbol, in nats, extend no prefix there."""


@dataclass(frozen=True)
class SymbolSpan:
    """A symbol and its frames."""

    symbol: int
    first: int
    end: int
    """The frame after the last."""


@dataclass(frozen=True)
class Word:
    text: str
    first: int
    end: int


class LanguageModel(Protocol):
    """Scores of a symbol after other symbols, as logarithms that are added to the acoustic ones."""

    def score(self, state: tuple[int, ...], symbol: int) -> tuple[float, tuple[int, ...]]:
        """The score of `symbol`, and the next state. The initial state is ()."""

    def score_end(self, state: tuple[int, ...]) -> float:
        """The score of the text's end."""


def greedy(logs: Logs, blank: int) -> list[SymbolSpan]:
    """The likeliest symbol of each frame; repetitions are merged, blanks removed."""
    if not len(logs):
        return []
    path = logs.argmax(1)  # (frames,)
    borders = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
    runs = pairwise(borders)
    return [SymbolSpan(int(path[first]), first, end) for first, end in runs if path[first] != blank]


class Prefix:
    """A text as its last symbol and the prefix before it; compared by identity."""

    __slots__ = ("frame", "language_score", "parent", "peak", "state", "symbol")

    def __init__(self, parent: Prefix | None, symbol: int, language_score: float, state: tuple[int, ...]) -> None:
        self.parent, self.symbol, self.language_score, self.state = parent, symbol, language_score, state
        self.frame, self.peak = 0, NEGATIVE_INFINITY
        """The frame in which the symbol was likeliest, and its log-probability there."""


def beam_search(logs: Logs, blank: int, width: int, language_model: LanguageModel | None = None) -> list[SymbolSpan]:
    """The likeliest text over all of its paths; the `width` best prefixes of each frame are kept.

    Raises DeadlineExceeded."""
    root = Prefix(None, blank, 0.0, ())
    # Of each prefix, the log-probabilities of its paths that end in a blank, and of those that end in its symbol.
    beams: dict[Prefix, tuple[float, float]] = {root: (0.0, NEGATIVE_INFINITY)}
    for frame, values in enumerate(logs):
        deadline.check()
        row = values.tolist()
        threshold = max(row) - PRUNING_MARGIN
        symbols = [symbol for symbol, value in enumerate(row) if value >= threshold and symbol != blank]
        prefixes = {(prefix.parent, prefix.symbol): prefix for prefix in beams}
        extended: dict[Prefix, tuple[float, float]] = {}
        for prefix, (in_blank, in_symbol) in beams.items():
            total = add(in_blank, in_symbol)
            before = extended.get(prefix, (NEGATIVE_INFINITY, NEGATIVE_INFINITY))
            repeated = NEGATIVE_INFINITY if prefix is root else add(before[1], in_symbol + row[prefix.symbol])
            extended[prefix] = (add(before[0], total + row[blank]), repeated)
            for symbol in symbols:
                # A repeated symbol needs a blank between; otherwise it is one symbol over several frames.
                previous = in_blank if symbol == prefix.symbol and prefix is not root else total
                if previous == NEGATIVE_INFINITY:
                    continue
                longer = prefixes.get((prefix, symbol))
                if longer is None:
                    longer = prefixes[prefix, symbol] = extend(prefix, symbol, language_model)
                if row[symbol] > longer.peak:
                    longer.frame, longer.peak = frame, row[symbol]
                before = extended.get(longer, (NEGATIVE_INFINITY, NEGATIVE_INFINITY))
                extended[longer] = (before[0], add(before[1], previous + row[symbol]))
        ranked = sorted(extended, key=lambda prefix: add(*extended[prefix]) + prefix.language_score, reverse=True)
        beams = {prefix: extended[prefix] for prefix in ranked[:width]}

    def total_score(prefix: Prefix) -> float:
        end_score = language_model.score_end(prefix.state) if language_model else 0.0
        return add(*beams[prefix]) + prefix.language_score + end_score

    return backtrack(max(beams, key=total_score))


def extend(prefix: Prefix, symbol: int, language_model: LanguageModel | None) -> Prefix:
    if language_model is None:
        return Prefix(prefix, symbol, 0.0, ())
    score, state = language_model.score(prefix.state, symbol)
    return Prefix(prefix, symbol, prefix.language_score + score, state)


def backtrack(prefix: Prefix) -> list[SymbolSpan]:
    """The symbols of a prefix, first to last."""
    spans = []
    while prefix.parent is not None:
        spans.append(SymbolSpan(prefix.symbol, prefix.frame, prefix.frame + 1))
        prefix = prefix.parent
    return spans[::-1]


def add(first: float, second: float) -> float:
    """log(exp(first) + exp(second))."""
    if first < second:
        first, second = second, first
    return first if second == NEGATIVE_INFINITY else first + math.log1p(math.exp(second - first))


def to_words(spans: Sequence[SymbolSpan], labels: Sequence[str], separator: str = " ") -> list[Word]:
    """The words between separators, with the frames of their first and last symbols."""
    words: list[Word] = []
    letters: list[SymbolSpan] = []
    for span in [*spans, None]:
        if span is not None and labels[span.symbol] != separator:
            letters.append(span)
        elif letters:
            words.append(Word("".join(labels[letter.symbol] for letter in letters), letters[0].first, letters[-1].end))
            letters = []
    return words
