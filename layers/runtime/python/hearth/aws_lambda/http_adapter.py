"""Dispatches HTTP requests to routes without a web framework: importing one takes longer than the rest of a cold start
(`hearth bench imports`).

Other requests (documentation, unknown paths) go through the ASGI app.
"""

from __future__ import annotations

import base64
import functools
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth import settings
from hearth.aws_lambda.http_event import HttpRequest, with_path
from hearth.errors import HearthError
from hearth.protocols.base import Request
from hearth.protocols.router import Match, Router
from hearth.tasks.task import Tasks
from hearth.telemetry.timing import begin

if TYPE_CHECKING:
    from hearth.http.pipeline import HttpResponse


class HttpAdapter:
    def __init__(self, tasks: Tasks, folder: Path | None) -> None:
        self._tasks, self._folder = tasks, folder
        self._router = Router(_pages(folder) if folder else ())
        self._cold = True

    def respond(
        self, request: HttpRequest, event: Mapping[str, Any], context: Any, *, streams: bool = False
    ) -> HttpResponse:
        """The response to a request. Its body is streamed only if `streams`."""
        if settings.get().cors_origins:
            return self._respond_to_page(request, event, context, streams=streams)
        return self._respond(request, event, context, streams=streams)

    def _respond_to_page(
        self, request: HttpRequest, event: Mapping[str, Any], context: Any, *, streams: bool
    ) -> HttpResponse:
        """The response with CORS headers, which the page of another origin needs."""
        from hearth.http import origins
        from hearth.http.pipeline import HttpResponse

        if origins.is_preflight(request.method, request.headers) and origins.allows(request.headers["origin"]):
            return HttpResponse(204, {"content-type": "text/plain", **origins.preflight_headers(request.headers)}, b"")
        response = self._respond(request, event, context, streams=streams)
        response.headers.update(origins.response_headers(request.headers))
        return response

    def _respond(self, request: HttpRequest, event: Mapping[str, Any], context: Any, *, streams: bool) -> HttpResponse:
        match = self._router.find(request.method, request.path)
        if match is None:
            return self._from_app(with_path(event, request.path), context)
        if self._cold:  # the model is loaded while the remaining modules are imported
            self._cold = False
            _preload(request, match, event)
        from hearth.http.pipeline import Exchange

        exchange = Exchange(
            match.protocol,
            match.route,
            Request(
                self._tasks,
                path_params=match.path_params,
                query=request.query,
                headers=request.headers,
                request_id=getattr(context, "aws_request_id", None) or uuid.uuid4().hex,
            ),
            begin(),
            event,
            streams,
        )
        return exchange.run(request.body)

    def _from_app(self, event: Mapping[str, Any], context: Any) -> HttpResponse:
        from hearth.http.pipeline import HttpResponse

        response = self._mangum(event, context)
        headers = {name: ", ".join(values) for name, values in response.get("multiValueHeaders", {}).items()}
        headers |= response.get("headers", {})
        body = response["body"]
        return HttpResponse(
            response["statusCode"], headers, base64.b64decode(body) if response["isBase64Encoded"] else body.encode()
        )

    @functools.cached_property
    def _mangum(self) -> Any:
        from mangum import Mangum

        from hearth.http.asgi import create_app

        return Mangum(create_app(self._tasks, folder=self._folder), lifespan="off")


def _pages(folder: Path) -> Any:
    from hearth.http.playground import routes

    return routes(folder)


def _preload(request: HttpRequest, match: Match, event: Mapping[str, Any]) -> None:
    """Load the model of the path in a thread, if the caller may use it. Errors are ignored; the request itself reports
    them."""
    if match.route.model_name is None:
        return
    from hearth.auth import api_keys
    from hearth.models import preload

    try:
        name = match.route.model_name(match.path_params)
        caller, _ = api_keys.identify(request.headers, event)
    except HearthError:
        return
    if caller.may_use(name.partition("@")[0]):
        preload.start_load(name, api_keys.session_of(request.headers, caller))
