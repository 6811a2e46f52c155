"""A model of characters by the characters before them: what a network of texts should be better than."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

ORDER = 6
"""Characters of the longest n-gram."""
LARGEST = 2_000_000
"""Characters of training text that are counted."""


class CharacterNgrams:
    """Probabilities interpolated with those of shorter contexts (Witten and Bell 1991)."""

    def __init__(self, texts: Iterable[str], order: int = ORDER) -> None:
        self.order = order
        self.followers: dict[str, Counter[str]] = {}
        """Counts of what follows each context of up to `order` - 1 characters."""
        left = LARGEST
        for text in texts:
            for index, character in enumerate(text[:left]):
                for length in range(min(order, index + 1)):
                    self.followers.setdefault(text[index - length : index], Counter())[character] += 1
            left -= len(text)
            if left <= 0:
                break
        self.totals = {context: counts.total() for context, counts in self.followers.items()}
        self.characters = len(self.followers.get("", ())) + 1  # and one for all unknown ones

    def nats(self, text: str) -> float:
        """The negative log-likelihood of a text."""
        return -sum(math.log(self.probability(text, index)) for index in range(len(text)))

    def probability(self, text: str, index: int) -> float:
        character, probability = text[index], 1 / self.characters
        for length in range(min(self.order, index + 1)):
            context = text[index - length : index]
            counts = self.followers.get(context)
            if counts is None:
                break
            total, kinds = self.totals[context], len(counts)
            probability = (counts[character] + kinds * probability) / (total + kinds)
        return probability
