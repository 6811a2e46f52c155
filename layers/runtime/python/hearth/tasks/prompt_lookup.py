"""Prompt lookup: where a text repeats what was there before, the tokens that followed then are read together with the
next one, and kept as far as the text takes them (https://github.com/apoorvumang/prompt-lookup-decoding).

Each token is chosen as without it, from logits after the same tokens, so greedy and sampled texts stay the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from hearth.tasks.generation import KeyValueCache

NGRAM = 3
"""Tokens that must have occurred in the same order."""
FIRST_DRAFT, LONGEST_DRAFT = 3, 8
"""Tokens of a draft; it doubles when all of them were taken."""
FIRST_PAUSE, LONGEST_PAUSE = 16, 256
"""Tokens without drafts after one of which less than half was taken; doubles until one is taken. A draft in vain costs
as much as one to two tokens, so other texts lose at most a few per cent."""


class PromptLookup:
    """Reads the tokens of one text and returns the logits after each."""

    def __init__(self, cache: KeyValueCache, capacity: int) -> None:
        """`cache` has read the prompt and has room for `capacity` tokens in all."""
        self._cache, self._capacity = cache, capacity
        self._ends: dict[tuple[int, ...], int] = {}
        """Tokens in a row -> position behind the last place where they occurred with something after them."""
        for end in range(NGRAM, len(cache.tokens)):
            self._ends[tuple(cache.tokens[end - NGRAM : end])] = end
        self._draft: list[int] = []
        self._taken = 0
        self._logits = np.empty((0, 0), np.float32)  # after the last token that was read alone, and after the draft's
        self._length, self._pause, self._wait = FIRST_DRAFT, FIRST_PAUSE, 0

    def read(self, token: int) -> np.ndarray[Any, Any]:
        """Logits (vocabulary,) after a token. The next call overwrites them."""
        tokens = self._cache.tokens
        end = len(tokens)
        if end >= NGRAM:
            self._ends[tuple(tokens[end - NGRAM :])] = end
        if self._taken < len(self._draft) and token == self._draft[self._taken]:
            tokens.append(token)
            self._taken += 1
            return self._logits[self._taken]  # type: ignore[no-any-return]
        self._learn()
        self._wait -= 1
        self._draft, self._taken = self._proposal([*tokens[1 - NGRAM :], token], self._capacity - end - 1), 0
        self._logits = self._cache.read([token, *self._draft], range(1 + len(self._draft)))
        del tokens[end + 1 :]  # the buffers behind are overwritten by what is read next
        return self._logits[0]  # type: ignore[no-any-return]

    def _proposal(self, last: Sequence[int], room: int) -> list[int]:
        """What followed the `last` tokens when they occurred before."""
        end = self._ends.get(tuple(last)) if self._wait <= 0 else None
        if end is None:
            return []
        return self._cache.tokens[end : end + min(self._length, room)]

    def _learn(self) -> None:
        """Adapt length and pause to what became of the draft."""
        if not self._draft:
            return
        if self._taken == len(self._draft):
            self._length = min(2 * self._length, LONGEST_DRAFT)
        elif 2 * self._taken < len(self._draft):
            self._length, self._wait = FIRST_DRAFT, self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            return
        self._pause = FIRST_PAUSE
