"""Stop strings in a text that arrives in pieces: text that may be the beginning of one is held back."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self.matched = False

    def push(self, piece: str) -> str:
        """The text that certainly precedes every stop string. Sets `matched` at a stop string, which ends the text."""
        text = self._held + piece
        positions = [position for position in (text.find(stop) for stop in self._stops) if position >= 0]
        if positions:
            self.matched, self._held = True, ""
            return text[: min(positions)]
        held = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def flush(self) -> str:
        """The text that was held back, once the text has ended."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Number of characters at the end of `text` that `stop` begins with."""
    longest = min(len(text), len(stop) - 1)
    return next((length for length in range(longest, 0, -1) if text.endswith(stop[:length])), 0)
