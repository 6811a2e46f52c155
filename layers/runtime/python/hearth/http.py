"""FastAPI around the dialects: routes, limits, inflating, streams, the log line."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import uuid
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from hearth import __version__, audit, deadline, keys, log, openapi, page, settings, trace
from hearth.call import JSON, Answer, Call, Dialect, Route, event
from hearth.dialects import native, oip, openai, sagemaker
from hearth.doors import Doors
from hearth.errors import ENDS, BadRequest, HearthError, MethodNotAllowed, NotFound, PayloadTooLarge, Unauthorized
from hearth.task import Task

DIALECTS = (openai.DIALECT, oip.DIALECT, sagemaker.DIALECT, native.DIALECT)
"""The last one words the failures of every path that is no other's."""
STATUSES = {404: NotFound, 405: MethodNotAllowed}
INFLATE = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""Window bits of zlib for each Content-Encoding; deflate has zlib's wrapper (RFC 9110)."""


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
        def work(request: Request, body: bytes) -> Answer:
            headers = {name.lower(): value for name, value in request.headers.items()}
            answer = route.work(
                Call(tasks, body, request.path_params, request.query_params, headers, _request_id(request))
            )
            return answer if isinstance(answer.body, bytes) else _begun(answer)

        async def respond(request: Request) -> Response:
            """The outermost boundary: whatever happens becomes an answer and one log line."""
            timing = trace.begin()
            if local:  # a Lambda's invocation says itself how long it may take
                deadline.set_seconds(settings.get().run_seconds)
            try:
                caller = keys.admit(request.headers, request.scope.get("aws.event"), open_to_all=route.open)
                timing.facts |= {"tenant": caller.tenant} if caller.tenant else {}
                body = await _body(request)
                audit.seen(body)
                answer = await run_in_threadpool(work, request, body) if local else work(request, body)
            except (*ENDS, asyncio.CancelledError):
                raise
            except BaseException as error:
                return _failed(request, dialect, ours(error), timing)
            if isinstance(answer.body, bytes):
                return _finish(request, timing, Response(answer.body, answer.status, answer.headers, answer.media))
            return _stream(request, dialect, answer, timing)

        return respond

    app.state.doors = doors = Doors()
    routes = [(dialect, route) for dialect in DIALECTS for route in dialect.routes]
    routes += [(native.DIALECT, route) for route in (page.routes(folder) if folder else ())]
    for dialect, route in routes:
        answers = endpoint(dialect, route)
        app.add_route(route.path, answers, [route.method])
        doors.add(route.method, route.path, answers)

    if local:  # a Lambda has one request, and its concurrency is bounded outside
        from hearth.admission import Admission

        def refuse(request: Request, failure: HearthError) -> Response:
            return _failed(request, _spoken(request), failure, trace.begin())

        app.add_middleware(Admission, refuse=refuse)

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, failure: HTTPException) -> Response:
        path = request.url.path
        kind = STATUSES.get(failure.status_code, BadRequest)
        words = f"{request.method} {path[:200]}: {failure.detail}"
        return _failed(request, _spoken(request), kind(words), trace.begin(), failure.headers or {})

    def described() -> dict[str, Any]:
        with keys.hidden():
            return openapi.document(app.title, app.description, DIALECTS, tasks)

    app.openapi = described  # type: ignore[method-assign]
    return app


def _spoken(request: Request) -> Dialect:
    return next(dialect for dialect in DIALECTS if dialect.speaks(request.url.path))


def ours(error: BaseException) -> HearthError:
    """As `log.ours`; a client that has gone is none of our faults."""
    if isinstance(error, ClientDisconnect):
        return BadRequest("The client went away")
    return log.ours(error)


def _failed(
    request: Request,
    dialect: Dialect,
    failure: HearthError,
    timing: trace.Trace,
    headers: Mapping[str, str] | None = None,
) -> Response:
    body = dialect.error(failure, _request_id(request))
    response = Response(body, failure.status, headers, JSON)
    response.headers.update(dialect.headers(failure))
    if failure.retry_after is not None:
        response.headers["Retry-After"] = str(failure.retry_after)
    if isinstance(failure, Unauthorized):
        response.headers["WWW-Authenticate"] = "Bearer"
    return _finish(request, timing, response, failure)


def _finish(request: Request, timing: trace.Trace, response: Response, failure: HearthError | None = None) -> Response:
    _label(request, timing, response)
    log.request(timing, request_id=_request_id(request), status=response.status_code, trigger="http", failure=failure)
    return response


def _label(request: Request, timing: trace.Trace, response: Response) -> None:
    response.headers["X-Request-Id"] = _request_id(request)
    response.headers["Server-Timing"] = timing.server_timing()


def _begun(answer: Answer) -> Answer:
    """With its first piece made: what fails before it has a status of its own."""
    pieces = answer.body
    assert not isinstance(pieces, bytes)  # noqa: S101
    first = next(pieces, b"")
    return dataclasses.replace(answer, body=itertools.chain((first,), pieces))


def _stream(request: Request, dialect: Dialect, answer: Answer, timing: trace.Trace) -> Response:
    """Each piece as it is made; all at once where nothing can stream, which is said in a header.

    What fails on the way is told in the dialect's words, as the last event. A comment at the end, which clients
    overlook, has the times that the headers could not know.
    """

    def pieces() -> Generator[bytes]:
        failure: HearthError | None = None
        try:
            yield from answer.body  # type: ignore[misc]
        except GeneratorExit:
            timing.facts["client_gone"] = True
            raise
        except ENDS:
            raise
        except BaseException as error:
            failure = ours(error)
            yield event(dialect.error(failure, _request_id(request)))
        finally:  # also when the client has gone
            status = failure.status if failure else 200
            log.request(timing, request_id=_request_id(request), status=status, trigger="http", failure=failure)
        yield f": server-timing {timing.server_timing()}\n\n".encode()

    streams = "aws.event" not in request.scope or bool(request.scope.get("hearth.streams"))
    headers = {**answer.headers, "X-Hearth-Stream": "streamed" if streams else "buffered", "Cache-Control": "no-store"}
    if streams:
        alone = "hearth.streams" in request.scope
        response: Response = _Streaming(pieces(), headers, answer.media, alone=alone)
    else:
        response = Response(b"".join(pieces()), 200, headers, answer.media)
    _label(request, timing, response)
    return response


class _Streaming(StreamingResponse):
    """Ends the work when nobody takes the pieces any more; `alone` in its process, the work needs no thread."""

    def __init__(self, pieces: Generator[bytes], headers: Mapping[str, str], media: str, *, alone: bool) -> None:
        super().__init__(_here(pieces) if alone else pieces, 200, headers, media)
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


async def _body(request: Request) -> bytes:
    """The body, inflated, refused as soon as it is too long, whatever Content-Length says."""
    limit = settings.get().max_body
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", *INFLATE):
        raise BadRequest("This Content-Encoding is not understood; send gzip, deflate or the plain body")
    inflate = zlib.decompressobj(INFLATE[encoding]) if encoding in INFLATE else None
    parts, length = [], 0
    async for part in request.stream():
        if inflate:
            try:
                part = inflate.decompress(part, limit + 1 - length)
            except zlib.error:
                raise BadRequest(f"The body says it is {encoding}, and is not") from None
        length += len(part)
        if length > limit:
            raise PayloadTooLarge(
                f"The body is longer than {limit} bytes; POST /uploads tells how to send a file that long"
            )
        parts.append(part)
    if inflate and length and not inflate.eof:
        raise BadRequest(f"The {encoding} body ends too early")
    return b"".join(parts)
