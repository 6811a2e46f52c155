"""The outermost boundary of an HTTP request, whatever serves it: let in, read, answered, labelled, one line logged."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from hearth import settings
from hearth.auth import api_keys
from hearth.errors import ENDS, BadRequest, HearthError, PayloadTooLarge, Unauthorized
from hearth.protocols.base import JSON, Answer, Call, Dialect, Route, event
from hearth.tasks.task import Task
from hearth.telemetry import audit, log
from hearth.telemetry import timing as trace

INFLATE = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""Window bits of zlib for each Content-Encoding; deflate has zlib's wrapper (RFC 9110)."""


class Said(Struct, frozen=True):
    """An answer, labelled and logged; one in pieces is logged at its end."""

    status: int
    headers: dict[str, str]
    """By names in small letters, without Content-Length."""
    body: bytes | Generator[bytes]


class Body:
    """A body that comes in parts: inflated, and refused as soon as it is too long, whatever Content-Length says."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        """Raises BadRequest."""
        self._limit = settings.get().max_body
        self._encoding = headers.get("content-encoding", "identity").strip().lower()
        if self._encoding not in ("identity", "", *INFLATE):
            raise BadRequest("This Content-Encoding is not understood; send gzip, deflate or the plain body")
        self._inflate = zlib.decompressobj(INFLATE[self._encoding]) if self._encoding in INFLATE else None
        self._parts: list[bytes] = []
        self._length = 0

    def take(self, part: bytes) -> None:
        """Raises BadRequest, PayloadTooLarge."""
        if self._inflate:
            try:
                part = self._inflate.decompress(part, self._limit + 1 - self._length)
            except zlib.error:
                raise BadRequest(f"The body says it is {self._encoding}, and is not") from None
        self._length += len(part)
        if self._length > self._limit:
            raise PayloadTooLarge(
                f"The body is longer than {self._limit} bytes; POST /uploads tells how to send a file that long"
            )
        self._parts.append(part)

    def whole(self) -> bytes:
        """Raises BadRequest."""
        if self._inflate and self._length and not self._inflate.eof:
            raise BadRequest(f"The {self._encoding} body ends too early")
        return b"".join(self._parts)


class Request(Struct, frozen=True):
    """One request to a known route, for as long as it is answered."""

    dialect: Dialect
    route: Route
    tasks: Sequence[Task]
    words: Mapping[str, str]
    """What stands in the path for each {word} of the route."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By names in small letters."""
    request_id: str
    timing: trace.Trace
    event: Any = None
    """AWS's, where the request came as one."""
    streams: bool = True
    """Whether the answer's pieces can leave as they are made."""

    def admit(self) -> None:
        """Let the caller in. Raises as keys.admit."""
        caller = api_keys.admit(self.headers, self.event, open_to_all=self.route.open)
        if caller.tenant:
            self.timing.facts["tenant"] = caller.tenant

    def work(self, body: bytes) -> Answer:
        """The route's answer, its first piece made: what fails before it has a status of its own."""
        audit.seen(body)
        answer = self.route.work(Call(self.tasks, body, self.words, self.query, self.headers, self.request_id))
        if isinstance(answer.body, bytes):
            return answer
        first = next(answer.body, b"")
        return replace(answer, body=itertools.chain((first,), answer.body))

    def said(self, answer: Answer) -> Said:
        headers = {"content-type": media(answer.media)}
        for name, of in answer.headers.items():
            headers[name.lower()] = of
        if isinstance(answer.body, bytes):
            return finished(self.timing, Said(answer.status, headers, answer.body), self.request_id)
        headers |= {"x-hearth-stream": "streamed" if self.streams else "buffered", "cache-control": "no-store"}
        pieces = self._pieces(answer.body)
        body: bytes | Generator[bytes] = pieces if self.streams else b"".join(pieces)
        return Said(200, headers | _labels(self.timing, self.request_id), body)

    def _pieces(self, pieces: Iterator[bytes]) -> Generator[bytes]:
        """What fails on the way is told in the dialect's words, as the last event. A comment at the end, which clients
        overlook, has the times that the headers could not know."""
        failure: HearthError | None = None
        try:
            yield from pieces
        except GeneratorExit:
            self.timing.facts["client_gone"] = True
            raise
        except ENDS:
            raise
        except BaseException as error:
            failure = log.ours(error)
            yield event(self.dialect.error(failure, self.request_id))
        finally:  # also when the client has gone
            status = failure.status if failure else 200
            log.request(self.timing, request_id=self.request_id, status=status, trigger="http", failure=failure)
        yield f": server-timing {self.timing.server_timing()}\n\n".encode()


def answer(request: Request, body: bytes) -> Said:
    """Whatever happens becomes an answer and one log line."""
    try:
        request.admit()
        read = Body(request.headers)
        read.take(body)
        return request.said(request.work(read.whole()))
    except ENDS:
        raise
    except BaseException as error:
        return failed(request.dialect, log.ours(error), request.timing, request.request_id)


def failed(
    dialect: Dialect,
    failure: HearthError,
    timing: trace.Trace,
    request_id: str,
    headers: Mapping[str, str] | None = None,
) -> Said:
    told = {"content-type": JSON, **(headers or {}), **dialect.headers(failure)}
    if failure.retry_after is not None:
        told["retry-after"] = str(failure.retry_after)
    if isinstance(failure, Unauthorized):
        told["www-authenticate"] = "Bearer"
    said = Said(failure.status, {name.lower(): of for name, of in told.items()}, dialect.error(failure, request_id))
    return finished(timing, said, request_id, failure)


def finished(timing: trace.Trace, said: Said, request_id: str, failure: HearthError | None = None) -> Said:
    """With its labels; its line is logged."""
    said.headers.update(_labels(timing, request_id))
    log.request(timing, request_id=request_id, status=said.status, trigger="http", failure=failure)
    return said


def media(kind: str) -> str:
    """A media type as the header Content-Type tells it."""
    return f"{kind}; charset=utf-8" if kind.startswith("text/") and "charset=" not in kind else kind


def _labels(timing: trace.Trace, request_id: str) -> dict[str, str]:
    return {"x-request-id": request_id, "server-timing": timing.server_timing()}
