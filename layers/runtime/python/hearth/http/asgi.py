"""The ASGI app of the local server: the routes of all protocols, and the documentation.

On Lambda it serves only the documentation and unknown paths; other routes do not need it (`http_adapter`).
"""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from hearth import __version__, deadline, settings
from hearth.auth import api_keys
from hearth.errors import ENDS, BadRequest, HearthError, MethodNotAllowed, NotFound, RequestTimeout
from hearth.http import openapi, playground
from hearth.http.concurrency_limit import ConcurrencyLimit
from hearth.http.origin_check import OriginCheck
from hearth.http.pipeline import BodyReader, Exchange, HttpResponse, StreamedBody, error_response
from hearth.protocols import base
from hearth.protocols.router import Router, protocol_for, protocols, without_slash
from hearth.tasks import memory_budget, shadow
from hearth.tasks.task import Tasks
from hearth.telemetry.log import as_hearth_error, finish_request
from hearth.telemetry.timing import begin

ROUTING_ERRORS = {404: NotFound, 405: MethodNotAllowed}
DOCUMENT_PATH = "/openapi.json"
READERS = 8
"""Threads for the requests of each route that only reads, such as the catalogue: whatever the work does, they have
threads, and what waits for the store takes none of another route."""

T = TypeVar("T")


def create_app(tasks: Tasks, *, local: bool = False, folder: Path | None = None, host: str = "127.0.0.1") -> FastAPI:
    """Create the app for `tasks`; without tasks it has only the catalogue. `folder` has the playground.

    A `local` server, started for `host`, handles several requests at once, so it predicts in threads; its documentation
    page needs no network. A Lambda handles one request at a time, and its page loads scripts from a CDN.
    """
    app = FastAPI(
        title="Hearth",
        version=__version__,
        description="AI models as a service",
        docs_url=None if local else "/docs",
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,  # such a redirect would bypass the pipeline and the log
    )
    if local:
        shadow.start_thread()
        tasks = tuple(memory_budget.admitted(task.load()) for task in tasks)
    router = Router(playground.routes(folder) if folder else ())
    threads = _Threads() if local else None  # AWS limits the concurrency of a Lambda
    for protocol, route in router.routes():
        app.add_route(route.path, _endpoint(protocol, route, tasks, threads), [route.method])
    app.add_middleware(_PlainPath)
    app.add_middleware(OriginCheck, refuse=_refuse, host=host if local else None)

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> Response:
        path = request.url.path
        kind = ROUTING_ERRORS.get(error.status_code, BadRequest)
        return _refuse(request, kind(f"{request.method} {path[:200]}: {error.detail}"), error.headers)

    def document() -> dict[str, Any]:
        with api_keys.anonymous():
            return openapi.document(app.title, app.description, protocols(), tasks)

    app.openapi = document  # type: ignore[method-assign]
    if threads:
        app.router.routes.insert(0, StarletteRoute(DOCUMENT_PATH, _document(app, threads)))
    return app


def _document(app: FastAPI, threads: _Threads) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint of the OpenAPI document. FastAPI's own one would read the store on the event loop."""

    async def respond(request: Request) -> Response:
        deadline.set_seconds(settings.get().run_seconds)
        try:
            document = await threads.read(DOCUMENT_PATH, app.openapi)
        except HearthError as error:
            return _refuse(request, error)
        root = request.scope.get("root_path")
        return JSONResponse(document | ({"servers": [{"url": root}]} if root else {}))

    return respond


class _PlainPath:
    """ASGI middleware: a slash at the end of a path means nothing, and HEARTH_BASE_PATH is not part of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path, base_path = scope["path"], settings.get().base_path
            if base_path and f"{path}/".startswith(f"{base_path}/"):
                path = path[len(base_path) :]
                scope = {**scope, "root_path": base_path}  # links of the documentation begin with it
            scope = {**scope, "path": without_slash(path)}
        await self._app(scope, receive, send)


class _Threads:
    """Where the endpoints of the local server run: reads and work in threads of their own, so that neither waits for
    the other."""

    def __init__(self) -> None:
        self.limit = ConcurrencyLimit()
        self._readers: defaultdict[str, CapacityLimiter] = defaultdict(lambda: CapacityLimiter(READERS))
        self._workers = CapacityLimiter(settings.get().max_queue)

    async def run(self, exchange: Exchange, body: bytes) -> base.Response:
        """Run an endpoint. A streamed response keeps its slot until `_ClosingStream` releases it."""
        if exchange.route.is_immediate:
            return exchange.handle(body)
        if exchange.route.method == "GET":
            return await self.read(exchange.route.path, partial(exchange.handle, body))
        self.limit.take_slot()
        try:
            response = await to_thread.run_sync(_handle, exchange, body, limiter=self._workers)
        except BaseException:
            self.limit.release_slot()
            raise
        if isinstance(response.body, bytes):
            self.limit.release_slot()
        return response

    async def read(self, path: str, function: Callable[[], T]) -> T:
        """Run a function that only reads, for the route with this path."""
        return await to_thread.run_sync(function, limiter=self._readers[path])


def _handle(exchange: Exchange, body: bytes) -> base.Response:
    """Call the endpoint once there is memory for what the body becomes when it is parsed. Raises TooManyRequests."""
    documents = memory_budget.documents()
    if documents is None or len(body) < memory_budget.SMALL_DOCUMENT:
        return exchange.handle(body)
    with documents.reserve(len(body) * memory_budget.DOCUMENT_FACTOR):
        return exchange.handle(body)


def _endpoint(
    protocol: base.Protocol, route: base.Route, tasks: Tasks, threads: _Threads | None
) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        timing, scope = begin(), request.scope
        if threads:  # a Lambda's invocation has its own deadline
            deadline.set_seconds(settings.get().run_seconds)
        headers = dict(reversed(request.headers.items()))  # of repeated headers, the first one counts
        hearth_request = base.Request(
            tasks,
            path_params=request.path_params,
            query=request.query_params,
            headers=headers,
            request_id=_request_id(request),
        )
        event = scope.get("aws.event")
        exchange = Exchange(protocol, route, hearth_request, timing, event, streams=event is None)
        holds_slot = False
        try:
            exchange.authenticate()
            body = await _read_body(request, BodyReader(headers), threads.limit if threads else None)
            answer = await threads.run(exchange, body) if threads else exchange.handle(body)
            holds_slot = threads is not None and not isinstance(answer.body, bytes)
            response = exchange.respond(answer)
        except (*ENDS, asyncio.CancelledError):
            raise
        except BaseException as error:
            if threads and holds_slot:
                threads.limit.release_slot()
            response = exchange.fail(client_error(error))
            if isinstance(error, RequestTimeout):  # the rest of the body is not waited for
                response.headers["connection"] = "close"
            return _to_starlette(response)
        return _to_starlette(response, threads.limit.release_slot if threads else None)

    return respond


def client_error(error: BaseException) -> HearthError:
    """As `as_hearth_error`, but a disconnected client is not an internal error."""
    if isinstance(error, ClientDisconnect):
        return BadRequest("The client disconnected")
    return as_hearth_error(error)


def _refuse(request: Request, error: HearthError, headers: Mapping[str, str] | None = None) -> Response:
    """The error response to a request without a route."""
    timing, request_id = begin(), _request_id(request)
    finish_request(timing, request_id=request_id, status=error.status, trigger="http", failure=error)
    return _to_starlette(error_response(protocol_for(request.url.path), error, timing, request_id, headers))


def _to_starlette(response: HttpResponse, release: Callable[[], None] | None = None) -> Response:
    """`release` is called at the end of a stream."""
    if isinstance(response.body, bytes):
        return Response(response.body, response.status, response.headers)
    return _ClosingStream(response.body, response.headers, release)


class _ClosingStream(StreamingResponse):
    """A streamed response that closes its iterator when the client disconnects."""

    def __init__(self, pieces: StreamedBody, headers: Mapping[str, str], release: Callable[[], None] | None) -> None:
        super().__init__(pieces, 200, headers)
        self._pieces, self._release = pieces, release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._pieces.close()
            if self._release:
                self._release()


def _request_id(request: Request) -> str:
    """Lambda's request id, or a random one."""
    context = request.scope.get("aws.context")
    if "hearth.request_id" not in request.scope:
        request.scope["hearth.request_id"] = getattr(context, "aws_request_id", None) or uuid.uuid4().hex
    return str(request.scope["hearth.request_id"])


async def _read_body(request: Request, reader: BodyReader, limit: ConcurrencyLimit | None) -> bytes:
    """Raises RequestTimeout, TooManyRequests, and what the reader raises."""
    size, seconds = 0, settings.get().body_seconds
    try:
        async with asyncio.timeout(seconds if limit else None):
            async for chunk in request.stream():
                length = max(reader.feed(chunk), len(chunk))
                if limit:
                    limit.add_body_bytes(length)
                    size += length
    except TimeoutError:
        raise RequestTimeout(f"The body did not arrive within {seconds:g} s; send it faster") from None
    finally:
        if limit:
            limit.remove_body_bytes(size)
    return reader.finish()
