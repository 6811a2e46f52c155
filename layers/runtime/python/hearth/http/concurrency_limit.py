"""How many requests the local server works on: one more is refused at once, instead of waiting with the others."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hearth import settings
from hearth.errors import HearthError, TooManyRequests


class ConcurrencyLimit:
    """ASGI middleware. It counts requests with POST; health and the catalogue are answered at any time."""

    def __init__(self, app: ASGIApp, refuse: Callable[[Request, HearthError], Response]) -> None:
        self._app, self._refuse = app, refuse
        self._active = 0
        """Requests that are worked on or wait for it, streams until their end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        if self._active >= settings.get().max_queue:
            error = TooManyRequests("The server has as much to do as it can take on; ask again in 1 s", retry_after=1)
            await self._refuse(Request(scope, receive), error)(scope, receive, send)
            return
        self._active += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._active -= 1
