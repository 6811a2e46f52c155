"""Text from tokens that come one by one, never cut inside a character.

A token's text depends on its neighbours: bytes of one character lie in several tokens, and some decoders drop a
leading space. So a short window is decoded with and without the new tokens, and the difference is what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

BROKEN = "\N{REPLACEMENT CHARACTER}"
MAX_TOKENS = 8
"""Tokens after which broken bytes are emitted as they are: the longest character has four bytes."""


class Detokenizer:
    """`decode` gives the text of token ids; those of `before` are its context and are not emitted."""

    def __init__(self, decode: Callable[[Sequence[int]], str], before: Sequence[int] = ()) -> None:
        self._decode = decode
        self._window = list(before[-MAX_TOKENS:])
        while BROKEN in decode(self._window):  # it must not begin inside a character
            del self._window[0]
        self._emitted = len(self._window)
        """How many tokens of the window are text that was emitted."""

    def push(self, token: int) -> str:
        """The text that is certain with this token; empty while a character is not whole."""
        self._window.append(token)
        known = self._decode(self._window[: self._emitted])
        text = self._decode(self._window)
        if text.endswith(BROKEN) and len(self._window) - self._emitted < MAX_TOKENS:
            return ""
        self._window = self._window[self._emitted :]
        self._emitted = len(self._window)
        return text[len(known) :]
