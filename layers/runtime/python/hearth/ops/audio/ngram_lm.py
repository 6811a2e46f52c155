"""A character n-gram language model with back-off, from an ARPA file (as KenLM and SRILM write it; Katz 1987).

A space is the token `|`, other tokens are the labels' characters; `<s>` and `</s>` begin and end a text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache

from hearth.errors import IntegrityError

SPACE, START, END, UNKNOWN = "|", "<s>", "</s>", "<unk>"
ABSENT = -10.0
"""Decimal logarithm of the probability of a token that is not in the file."""


class NgramLanguageModel:
    """A hearth.ops.audio.ctc.LanguageModel."""

    def __init__(
        self, grams: dict[tuple[str, ...], tuple[float, float]], labels: Sequence[str], weight: float, bonus: float
    ) -> None:
        """`grams`: decimal logarithms of probability and back-off. A symbol's score is its natural logarithm times
        `weight`, plus `bonus`; without a bonus short texts are preferred."""
        self.grams, self.weight, self.bonus = grams, weight, bonus
        self.order = max(map(len, grams))
        self.tokens = [SPACE if label == " " else label for label in labels]
        self._scores: dict[tuple[int, ...], float] = {}

    def score(self, state: tuple[int, ...], symbol: int) -> tuple[float, tuple[int, ...]]:
        path = (*state, symbol)
        score = self._scores.get(path)
        if score is None:
            context = self._tokens(state)
            score = self.weight * math.log(10) * self.probability(context, self.tokens[symbol]) + self.bonus
            self._scores[path] = score
        return score, path[-self.order + 1 :] if self.order > 1 else ()

    def score_end(self, state: tuple[int, ...]) -> float:
        return self.weight * math.log(10) * self.probability(self._tokens(state), END)

    def _tokens(self, state: tuple[int, ...]) -> tuple[str, ...]:
        """The tokens of a state; a state shorter than the order is at the beginning of the text."""
        tokens = tuple(self.tokens[symbol] for symbol in state)
        return tokens if len(tokens) >= self.order - 1 else (START, *tokens)

    def probability(self, context: tuple[str, ...], token: str) -> float:
        """Decimal logarithm of the probability of `token` after `context`."""
        gram = self.grams.get((*context, token))
        if gram is not None:
            return gram[0]
        if not context:
            return self.grams.get((UNKNOWN,), (ABSENT, 0.0))[0]
        _, backoff = self.grams.get(context, (0.0, 0.0))
        return backoff + self.probability(context[1:], token)


@lru_cache(maxsize=4)
def read(data: bytes, labels: tuple[str, ...], weight: float, bonus: float) -> NgramLanguageModel:
    """Read an ARPA file. Raises IntegrityError, which names the line that is not an n-gram."""
    grams: dict[tuple[str, ...], tuple[float, float]] = {}
    order = 0
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        heading = re.fullmatch(r"\\(\d+)-grams:", line.strip())
        if heading:
            order = int(heading[1])
        elif order and line.strip() and not line.startswith("\\end\\"):
            fields = line.split()
            try:
                backoff = float(fields[order + 1]) if len(fields) == order + 2 else 0.0
                if len(fields) not in (order + 1, order + 2):
                    raise ValueError
                grams[tuple(fields[1 : order + 1])] = (float(fields[0]), backoff)
            except ValueError:
                raise IntegrityError(f"Line {number} of the language model is not a {order}-gram") from None
    if not grams:
        raise IntegrityError("The language model has no n-grams; it must be an ARPA file of character n-grams")
    return NgramLanguageModel(grams, labels, weight, bonus)
