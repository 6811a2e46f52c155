"""ASGI middleware: CORS, and for the local server the refusal of requests that another web page may have made."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hearth.errors import HearthError
from hearth.http import origins


class OriginCheck:
    def __init__(self, app: ASGIApp, refuse: Callable[[Request, HearthError], Response], host: str | None) -> None:
        """`host` is the one that the local server was started for; None on Lambda."""
        self._app, self._refuse, self._host = app, refuse, host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            if self._host is not None:
                origins.check_local(headers, self._host)
            if origins.is_preflight(scope["method"], headers):
                await Response(None, 204, origins.preflight_headers(headers))(scope, receive, send)
                return
        except HearthError as error:
            await self._refuse(Request(scope, receive), error)(scope, receive, send)
            return
        added = origins.response_headers(headers)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(added)
            await send(message)

        await self._app(scope, receive, send_with_headers if added else send)
