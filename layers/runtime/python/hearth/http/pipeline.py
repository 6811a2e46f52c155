"""The pipeline of one HTTP request, on any server: authenticate, read, route, respond, log."""

from __future__ import annotations

import functools
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from hearth import settings
from hearth.auth import api_keys
from hearth.errors import ENDS, BadRequest, HearthError, PayloadTooLarge, Unauthorized
from hearth.protocols.base import JSON, Protocol, Request, Response, Route, server_sent_event
from hearth.tasks.task import Usage
from hearth.telemetry import audit
from hearth.telemetry.log import as_hearth_error, finish_request, start_stream, start_trace
from hearth.telemetry.timing import Timing

COMPRESSION_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""Content-Encoding -> zlib's window bits; deflate has zlib's wrapper (RFC 9110)."""


SLICE = 64 * 1024
"""Compressed bytes that are decompressed at once: what follows the end of a gzip member is copied."""
MAX_MEMBERS = 1000
"""Largest number of members of a gzip body."""


class HttpResponse(Struct, frozen=True):
    """A response as it is sent; a streamed one is logged at its end."""

    status: int
    headers: dict[str, str]
    """By names in lower case, without Content-Length."""
    body: bytes | StreamedBody


class BodyReader:
    """Reads a body in chunks: decompresses it, and refuses it as soon as it is too long, despite its Content-Length."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        """Raises BadRequest."""
        self._limit = settings.get().max_body
        self._encoding = headers.get("content-encoding", "identity").strip().lower()
        if self._encoding not in ("identity", "", *COMPRESSION_BITS):
            raise BadRequest("This Content-Encoding is not supported; send gzip, deflate or the plain body")
        self._decompressor: zlib._Decompress | None = None
        self._inflated = self._members = 0
        self._parts: list[bytes] = []
        self._length = 0

    def feed(self, chunk: bytes) -> int:
        """Read a chunk and return its number of bytes once decompressed. Raises BadRequest, PayloadTooLarge."""
        if self._encoding in COMPRESSION_BITS:
            slices = (chunk[start : start + SLICE] for start in range(0, len(chunk), SLICE))
            chunk = b"".join(map(self._decompress, slices))
        self._length += len(chunk)
        if self._length > self._limit:
            raise PayloadTooLarge(
                f"The body is longer than {self._limit} bytes; upload a larger input with POST /uploads"
            )
        self._parts.append(chunk)
        return len(chunk)

    def _decompress(self, compressed: bytes) -> bytes:
        """Raises BadRequest. A gzip body may have several members, one after the other."""
        pieces, decompressor = [], self._decompressor
        while compressed and self._inflated <= self._limit:
            if decompressor is None or decompressor.eof:
                self._members += 1
                if self._members > MAX_MEMBERS:
                    raise BadRequest(
                        f"The {self._encoding} body has more than {MAX_MEMBERS} members; compress it as one"
                    )
                decompressor = self._decompressor = zlib.decompressobj(COMPRESSION_BITS[self._encoding])
            try:
                pieces.append(decompressor.decompress(compressed, self._limit + 1 - self._inflated))
            except zlib.error:
                raise BadRequest(f"The body is not valid {self._encoding}") from None
            self._inflated += len(pieces[-1])
            compressed = decompressor.unused_data
        return b"".join(pieces)

    def finish(self) -> bytes:
        """The whole body. Raises BadRequest."""
        if self._decompressor and not self._decompressor.eof:
            raise BadRequest(f"The {self._encoding} body is incomplete")
        return b"".join(self._parts)


class Exchange(Struct, frozen=True):
    """A request to a known route, and the steps to its response."""

    protocol: Protocol
    route: Route
    request: Request
    timing: Timing
    event: Any = None
    """The AWS event of the request, if there is one."""
    streams: bool = True
    """Whether responses can be streamed; otherwise their pieces are collected."""

    def run(self, body: bytes) -> HttpResponse:
        """Run all steps for a complete body. Any error becomes a response and a log line."""
        try:
            self.authenticate()
            reader = BodyReader(self.request.headers)
            reader.feed(body)
            return self.respond(self.handle(reader.finish()))
        except ENDS:
            raise
        except BaseException as error:
            return self.fail(as_hearth_error(error))

    def authenticate(self) -> None:
        """Identify the caller. Raises Unauthorized, TooManyRequests, SettingsError."""
        timing = self.timing
        timing.request_id, timing.method, timing.route = self.request.request_id, self.route.method, self.route.path
        start_trace(timing, self.request.headers)
        timing.is_private = self.request.headers.get("x-hearth-capture", "").lower() == "off"
        caller = api_keys.authenticate(self.request.headers, self.event, public=self.route.public)
        if caller.tenant:
            self.timing.fields["tenant"] = caller.tenant

    def handle(self, body: bytes) -> Response:
        """Call the route's endpoint. The first piece of a stream is produced, so that an error before it has its own
        status."""
        audit.record_input(body)
        self.request.body = body
        response = self.route.endpoint(self.request)
        if isinstance(response.body, bytes):
            return response
        return replace(response, body=_prepend(next(response.body, b""), response.body))

    def respond(self, response: Response) -> HttpResponse:
        """The response with all headers. It is logged now, or a stream at its end. Raises Unavailable."""
        headers = {"content-type": _content_type(response.media_type), "x-request-id": self.request.request_id}
        if lease := self.request.lease:
            manifest = lease.model.manifest
            headers["x-hearth-model"] = f"{manifest.model}@{manifest.version}"
            if self.timing.observed and manifest.reference is not None:
                from hearth.telemetry.observation import novelty  # was imported by the task

                value = novelty(manifest.reference, self.timing.observed)
                if value is not None:
                    headers["x-hearth-novelty"] = f"{value:.3f}"
                    self.timing.fields["novelty"] = round(value, 3)
        if trace := self.timing.trace:
            headers["traceresponse"] = trace.header
        headers |= {name.lower(): value for name, value in response.headers.items()}
        if isinstance(response.body, bytes):
            self._finish(response.status, usage=response.usage)
            return HttpResponse(
                response.status, headers | {"server-timing": self.timing.server_timing()}, response.body
            )
        start_stream(self.timing, request_id=self.request.request_id)
        headers |= {
            "x-hearth-stream": "streamed" if self.streams else "buffered",
            "cache-control": "no-store",
            "server-timing": self.timing.server_timing(),
        }
        finish = functools.partial(self._finish, is_sent=True)
        body = StreamedBody(response.body, self.timing, self._encode_event, finish, response.usage)
        return HttpResponse(200, headers, body if self.streams else b"".join(body))

    def fail(self, error: HearthError) -> HttpResponse:
        """The response to an error, in the format of the route's protocol."""
        self._finish(error.status, error)
        return error_response(self.protocol, error, self.timing, self.request.request_id)

    def _encode_event(self, error: HearthError) -> bytes:
        return server_sent_event(self.protocol.encode_error(error, self.request.request_id))

    def _finish(
        self, status: int, failure: HearthError | None = None, usage: Usage | None = None, *, is_sent: bool = False
    ) -> None:
        """Release the model and write the log line. Raises Unavailable, as `finish_request`."""
        if lease := self.request.lease:
            lease.close()
            self.request.lease = None
        if usage:
            self.timing.record_usage(usage)
        finish_request(
            self.timing,
            request_id=self.request.request_id,
            status=status,
            trigger="http",
            failure=failure,
            is_sent=is_sent,
        )


class StreamedBody:
    """An iterator over the pieces of a response that finishes its request exactly once: after the last piece, at an
    error, or when it is closed because the client disconnected, even before the first piece.

    An error becomes the last event, in the protocol's format. A final comment, which clients ignore, has the times that
    were not known when the headers were sent.
    """

    def __init__(
        self,
        pieces: Iterator[bytes],
        timing: Timing,
        encode_error: Callable[[HearthError], bytes],
        finish: Callable[[int, HearthError | None, Usage | None], None],
        usage: Usage | None,
    ) -> None:
        self._pieces, self._timing, self._encode_error = pieces, timing, encode_error
        self._finish, self._usage = finish, usage
        self._tail: Iterator[bytes] | None = None
        """The events after the pieces; None until the pieces have ended."""
        self._closed = False
        self._lock = threading.Lock()
        """Held while a piece is produced; a concurrent `close` leaves the rest to the producing thread."""

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self._lock:
            piece = self._next() if not self._closed or self._tail is not None else b""
            if self._closed:
                self._abandon()
                raise StopIteration
        return piece

    def _next(self) -> bytes:
        if self._tail is not None:
            return next(self._tail)
        failure: HearthError | None = None
        try:
            return next(self._pieces)
        except StopIteration:
            pass
        except ENDS:
            raise
        except BaseException as error:
            failure = as_hearth_error(error)
        self._end(failure.status if failure else 200, failure)
        tail = [self._encode_error(failure)] if failure else []
        self._tail = iter([*tail, f": server-timing {self._timing.server_timing()}\n\n".encode()])
        return next(self._tail)

    def close(self) -> None:
        """Produce no more pieces. Does not wait for a piece that is being produced."""
        self._closed = True
        if self._lock.acquire(blocking=False):
            try:
                self._abandon()
            finally:
                self._lock.release()

    def _abandon(self) -> None:
        if self._tail is None:
            self._timing.fields["client_gone"] = True
            self._end(200, None)

    def _end(self, status: int, failure: HearthError | None) -> None:
        self._tail = iter(())
        if close := getattr(self._pieces, "close", None):
            close()
        self._finish(status, failure, self._usage)


def _prepend(first: bytes, remaining: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from remaining


def error_response(
    protocol: Protocol,
    error: HearthError,
    timing: Timing,
    request_id: str,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    """Encode an error as a response, with additional `headers`. Does not log."""
    all_headers = {"content-type": JSON, **(headers or {}), **protocol.error_headers(error)}
    if error.retry_after is not None:
        all_headers["retry-after"] = str(error.retry_after)
    if isinstance(error, Unauthorized):
        all_headers["www-authenticate"] = "Bearer"
    all_headers |= {"x-request-id": request_id, "server-timing": timing.server_timing()}
    body = protocol.encode_error(error, request_id)
    return HttpResponse(error.status, {name.lower(): value for name, value in all_headers.items()}, body)


def _content_type(media_type: str) -> str:
    if media_type.startswith("text/") and "charset=" not in media_type:
        return f"{media_type}; charset=utf-8"
    return media_type
