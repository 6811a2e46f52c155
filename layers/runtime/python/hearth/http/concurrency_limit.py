"""Limits the concurrent requests of the local server: further requests are refused instead of queued."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hearth import settings
from hearth.errors import HearthError, TooManyRequests


class ConcurrencyLimit:
    """ASGI middleware that limits concurrent POST requests; health and the catalogue are always available."""

    def __init__(self, app: ASGIApp, refuse: Callable[[Request, HearthError], Response]) -> None:
        self._app, self._refuse = app, refuse
        self._active = 0
        """Number of requests in progress or waiting; a stream counts until its end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        if self._active >= settings.get().max_queue:
            error = TooManyRequests("The server has too many requests; retry in 1 s", retry_after=1)
            await self._refuse(Request(scope, receive), error)(scope, receive, send)
            return
        self._active += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._active -= 1
