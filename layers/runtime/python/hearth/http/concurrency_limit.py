"""Limits what concurrent requests to the local server may hold: slots for work, and memory for bodies."""

from __future__ import annotations

from hearth import settings
from hearth.errors import TooManyRequests

RETRY_SECONDS = 1


class ConcurrencyLimit:
    """Used from the event loop alone. A request takes a slot when its body is complete, so that slow clients take none;
    a stream holds its slot until its end."""

    def __init__(self) -> None:
        self._active = 0
        self._body_bytes = 0

    def take_slot(self) -> None:
        """Raises TooManyRequests instead of letting the request wait."""
        if self._active >= settings.get().max_queue:
            raise TooManyRequests("The server has too many requests; retry in 1 s", retry_after=RETRY_SECONDS)
        self._active += 1

    def release_slot(self) -> None:
        self._active -= 1

    def add_body_bytes(self, size: int) -> None:
        """Count bytes of a body that is arriving. Raises TooManyRequests if all bodies together have too many."""
        chosen = settings.get()
        if self._body_bytes + size > chosen.max_queue * chosen.max_body:
            raise TooManyRequests("The server receives too much data at once; retry in 1 s", retry_after=RETRY_SECONDS)
        self._body_bytes += size

    def remove_body_bytes(self, size: int) -> None:
        self._body_bytes -= size
