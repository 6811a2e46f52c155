"""BM25, the ranking by words that search engines use: what every model of texts should be better than."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

WORDS = re.compile(r"[぀-ヿ㐀-鿿가-힯]|\w+")
"""Words; Chinese, Japanese and Korean characters stand alone."""
SATURATION, LENGTH = 1.2, 0.75
"""k1 and b of Robertson and Zaragoza 2009."""


def words_of(text: str) -> list[str]:
    return WORDS.findall(text.casefold())


class Bm25:
    """Scores of texts for a query."""

    def __init__(self, texts: Sequence[str]) -> None:
        lengths = np.zeros(len(texts))
        self.postings: dict[str, list[tuple[int, int]]] = {}
        """The texts with a word, and how often they have it."""
        for number, text in enumerate(texts):
            counts = Counter(words_of(text))
            lengths[number] = counts.total()
            for word, count in counts.items():
                self.postings.setdefault(word, []).append((number, count))
        self.norms = SATURATION * (1 - LENGTH + LENGTH * lengths / max(lengths.mean(), 1))

    def scores(self, query: str) -> np.ndarray:
        """(texts,)."""
        scores, total = np.zeros(len(self.norms)), len(self.norms)
        for word in set(words_of(query)):
            postings = self.postings.get(word, ())
            weight = math.log(1 + (total - len(postings) + 0.5) / (len(postings) + 0.5))
            for number, count in postings:
                scores[number] += weight * count * (SATURATION + 1) / (count + self.norms[number])
        return scores
