"""Write a character n-gram model of texts as an ARPA file, which hearth.ops.audio.ngram_lm reads.

The model uses absolute discounting with back-off (Ney, Essen and Kneser 1994).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable

from hearth.ops.audio.ngram_lm import END, SPACE, START

DISCOUNT = 0.5
"""Subtracted from each count, to give probability to unseen n-grams."""
Gram = tuple[str, ...]


def arpa(texts: Iterable[str], order: int) -> bytes:
    """The content of the file. `order` is the length of the longest n-grams."""
    counts: list[Counter[Gram]] = [Counter() for _ in range(order + 1)]
    for text in texts:
        tokens = (START, *(SPACE if character == " " else character for character in text), END)
        for length in range(1, order + 1):
            for first in range(len(tokens) - length + 1):
                counts[length][tokens[first : first + length]] += 1
    total = sum(count for gram, count in counts[1].items() if gram != (START,))
    probabilities = {gram: (1e-10 if gram == (START,) else count / total) for gram, count in counts[1].items()}
    backoffs: dict[Gram, float] = {}
    for length in range(2, order + 1):
        by_context: defaultdict[Gram, list[Gram]] = defaultdict(list)
        for gram in counts[length]:
            by_context[gram[:-1]].append(gram)
        for context, grams in by_context.items():
            seen = sum(counts[length][gram] for gram in grams)
            probabilities |= {gram: (counts[length][gram] - DISCOUNT) / seen for gram in grams}
            # The discounted probability is given to the unseen tokens, in proportion to the shorter context.
            unseen = 1 - sum(probabilities[gram[1:]] for gram in grams)
            backoffs[context] = DISCOUNT * len(grams) / seen / max(unseen, 1e-10)
    lines = ["\\data\\", *(f"ngram {length}={len(counts[length])}" for length in range(1, order + 1))]
    for length in range(1, order + 1):
        lines += ["", f"\\{length}-grams:"]
        for gram in sorted(counts[length]):
            backoff = f"\t{math.log10(backoffs[gram]):.4f}" if gram in backoffs else ""
            lines.append(f"{math.log10(probabilities[gram]):.4f}\t{' '.join(gram)}{backoff}")
    return "\n".join([*lines, "", "\\end\\", ""]).encode()
