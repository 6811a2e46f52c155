"""How many requests a server takes on at once: one more is told so at once, instead of waiting with all the others."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hearth import settings
from hearth.errors import HearthError, TooManyRequests


class Admission:
    """ASGI middleware. Work is what is POSTed; health and the catalogue are answered at any time."""

    def __init__(self, app: ASGIApp, refuse: Callable[[Request, HearthError], Response]) -> None:
        self._app, self._refuse = app, refuse
        self._inside = 0
        """Requests in work or waiting for it, streams until their end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        if self._inside >= settings.get().max_queue:
            failure = TooManyRequests("The server has as much to do as it can take on; ask again in 1 s", retry_after=1)
            await self._refuse(Request(scope, receive), failure)(scope, receive, send)
            return
        self._inside += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._inside -= 1
