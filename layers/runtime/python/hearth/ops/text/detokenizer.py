"""Text from tokens that arrive one by one, never cut inside a character.

A token's text depends on its neighbours: the bytes of one character can be spread over several tokens, and some
decoders drop a leading space. So a short window is decoded with and without the new tokens; the difference is new text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

REPLACEMENT_CHARACTER = "\N{REPLACEMENT CHARACTER}"
MAX_TOKENS = 8
"""Number of tokens after which an incomplete character is emitted as it is: the longest one has four bytes."""


class Detokenizer:
    """`decode` gives the text of token ids; the ids of `prompt` are context and are not emitted."""

    def __init__(self, decode: Callable[[Sequence[int]], str], prompt: Sequence[int] = ()) -> None:
        self._decode = decode
        self._window = list(prompt[-MAX_TOKENS:])
        while REPLACEMENT_CHARACTER in decode(self._window):  # it must not begin inside a character
            del self._window[0]
        self._emitted = len(self._window)
        """Number of tokens of the window whose text was emitted."""

    def push(self, token: int) -> str:
        """The text that this token completes; empty while a character is incomplete."""
        self._window.append(token)
        emitted = self._decode(self._window[: self._emitted])
        text = self._decode(self._window)
        if text.endswith(REPLACEMENT_CHARACTER) and len(self._window) - self._emitted < MAX_TOKENS:
            return ""
        self._window = self._window[self._emitted :]
        self._emitted = len(self._window)
        return text[len(emitted) :]
