"""FastAPI around the dialects: the local server's app, and a Lambda's for what streams and what is no route of ours."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from hearth import __version__, deadline, settings
from hearth.auth import api_keys
from hearth.errors import ENDS, BadRequest, HearthError, MethodNotAllowed, NotFound
from hearth.http import openapi, pipeline
from hearth.protocols.base import Dialect, Route
from hearth.protocols.router import dialects, doors, spoken
from hearth.tasks.task import Task
from hearth.telemetry import log
from hearth.telemetry import timing as trace

DIALECTS = dialects()
STATUSES = {404: NotFound, 405: MethodNotAllowed}


def create_app(tasks: Sequence[Task], *, local: bool = False, folder: Path | None = None) -> FastAPI:
    """The app of the functions whose `tasks` these are; with none, the catalogue alone. `folder` has the page.

    A `local` server answers several requests at once, so it predicts on threads, and brings a documentation page
    of its own that needs no network; a Lambda answers one request, and has the page load its scripts from a CDN.
    """
    app = FastAPI(
        title="Hearth",
        version=__version__,
        description="AI models as a service",
        docs_url=None if local else "/docs",
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,  # an answer of the router itself, past the doors and the log
    )

    def endpoint(dialect: Dialect, route: Route) -> Callable[[Request], Awaitable[Response]]:
        async def respond(request: Request) -> Response:
            timing, told = trace.begin(), request.scope
            if local:  # a Lambda's invocation says itself how long it may take
                deadline.set_seconds(settings.get().run_seconds)
            door = pipeline.Request(
                dialect,
                route,
                tasks,
                request.path_params,
                request.query_params,
                dict(reversed(request.headers.items())),  # the first of several of one name
                _request_id(request),
                timing,
                event=told.get("aws.event"),
                streams="aws.event" not in told or bool(told.get("hearth.streams")),
            )
            try:
                door.admit()
                body = await _body(request, pipeline.Body(door.headers))
                answer = await run_in_threadpool(door.work, body) if local else door.work(body)
            except (*ENDS, asyncio.CancelledError):
                raise
            except BaseException as error:
                return _response(request, pipeline.failed(dialect, ours(error), timing, door.request_id))
            return _response(request, door.said(answer))

        return respond

    for dialect, route in (door for each in DIALECTS for door in doors(each, folder)):
        app.add_route(route.path, endpoint(dialect, route), [route.method])

    if local:  # a Lambda has one request, and its concurrency is bounded outside
        from hearth.http.concurrency_limit import Admission

        def refuse(request: Request, failure: HearthError) -> Response:
            return _failed(request, failure)

        app.add_middleware(Admission, refuse=refuse)

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, failure: HTTPException) -> Response:
        path = request.url.path
        kind = STATUSES.get(failure.status_code, BadRequest)
        words = f"{request.method} {path[:200]}: {failure.detail}"
        return _failed(request, kind(words), failure.headers)

    def described() -> dict[str, Any]:
        with api_keys.hidden():
            return openapi.document(app.title, app.description, DIALECTS, tasks)

    app.openapi = described  # type: ignore[method-assign]
    return app


def ours(error: BaseException) -> HearthError:
    """As `log.ours`; a client that has gone is none of our faults."""
    if isinstance(error, ClientDisconnect):
        return BadRequest("The client went away")
    return log.ours(error)


def _failed(request: Request, failure: HearthError, headers: Mapping[str, str] | None = None) -> Response:
    """Of a request that met no route."""
    dialect = spoken(request.url.path)
    return _response(request, pipeline.failed(dialect, failure, trace.begin(), _request_id(request), headers))


def _response(request: Request, said: pipeline.Said) -> Response:
    if isinstance(said.body, bytes):
        return Response(said.body, said.status, said.headers)
    return _Streaming(said.body, said.headers, alone="hearth.streams" in request.scope)


class _Streaming(StreamingResponse):
    """Ends the work when nobody takes the pieces any more; `alone` in its process, the work needs no thread."""

    def __init__(self, pieces: Generator[bytes], headers: Mapping[str, str], *, alone: bool) -> None:
        super().__init__(_here(pieces) if alone else pieces, 200, headers)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._pieces.close()


async def _here(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def _request_id(request: Request) -> str:
    """Lambda's id of the invocation; else one of our own."""
    context = request.scope.get("aws.context")
    if "hearth.request_id" not in request.scope:
        request.scope["hearth.request_id"] = getattr(context, "aws_request_id", None) or uuid.uuid4().hex
    return str(request.scope["hearth.request_id"])


async def _body(request: Request, body: pipeline.Body) -> bytes:
    async for part in request.stream():
        body.take(part)
    return body.whole()
