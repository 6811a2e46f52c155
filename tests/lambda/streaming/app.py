"""A handler with every kind of response, for the tests of the runtime."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hearth.aws_lambda import http_event
from hearth.aws_lambda.handler import Handler
from hearth.http.pipeline import HttpResponse

CHUNK_BYTES = 65536
EVENTS = {"content-type": "text/event-stream"}


class Panic(BaseException):
    """An error like a tokenizer's panic: not an Exception."""


def scratch(name: str) -> Path:
    return Path(os.environ["SCRATCH"]) / name


def gated() -> Iterator[bytes]:
    """Server-sent events, each generated only when the test writes a byte to the gate."""
    with scratch("gate").open("rb", buffering=0) as gate:
        while byte := gate.read(1):
            yield b"data: " + byte + b"\n\n"


def flood() -> Iterator[bytes]:
    count = 0
    try:
        while True:
            yield bytes(CHUNK_BYTES)
            count += 1
            scratch("made").write_text(str(count))
    finally:
        scratch("closed").write_text(str(count))


def failing(error: BaseException, *chunks: bytes) -> Iterator[bytes]:
    yield from chunks
    raise error


SECRET = "a secret of the caller"


class StreamingHandler(Handler):
    def respond(self, event: dict[str, Any], context: Any, *, streams: bool = False) -> HttpResponse:
        request = http_event.read(event)
        match request.path:
            case "/pieces":
                return HttpResponse(200, EVENTS, gated())  # type: ignore[arg-type]
            case "/flood":
                return HttpResponse(200, {}, flood())  # type: ignore[arg-type]
            case "/before":
                raise LookupError(SECRET)
            case "/first":
                return HttpResponse(200, {}, failing(LookupError(SECRET)))  # type: ignore[arg-type]
            case "/after":
                return HttpResponse(200, {}, failing(LookupError(SECRET), b"half"))  # type: ignore[arg-type]
            case "/panic":
                raise Panic(SECRET)
            case "/late-panic":
                return HttpResponse(200, {}, failing(Panic(SECRET), b"half"))  # type: ignore[arg-type]
            case "/early":  # the prelude alone, then empty chunks, then a byte
                return HttpResponse(200, {}, iter((b"", b"", b"x")))  # type: ignore[arg-type]
            case "/nothing":
                return HttpResponse(200, {}, iter(()))  # type: ignore[arg-type]
            case "/binary":
                return HttpResponse(200, {"content-type": "image/png"}, bytes(range(256)) * 2)
            case "/headers":
                return HttpResponse(418, {"content-length": "12", "x-one": "caf\xe9"}, "große Kanne".encode())
            case "/no-content":
                return HttpResponse(204, {"content-type": "text/plain"}, b"")
        echo = {
            "method": request.method,
            "path": request.path,
            "headers": request.headers,
            "body": list(request.body),
            "streams": streams,
            "request_id": context.aws_request_id,
            "remaining": context.get_remaining_time_in_millis(),
            "arn": context.invoked_function_arn,
            "trace": os.environ.get("_X_AMZN_TRACE_ID"),
        }
        return HttpResponse(200, {"content-type": "application/json"}, json.dumps(echo).encode())

    def __call__(self, event: Any, context: Any) -> Any:
        match event:
            case {"modules": names}:
                return [name for name in names if name in sys.modules]
            case {"context": names}:
                return {name: getattr(context, name) for name in names}
            case {"panic": message}:
                raise Panic(message)
            case {"raise": message}:
                raise LookupError(message)
            case {"answer": "NaN"}:
                return {1, 2}
        return super().__call__(event, context)


handler = StreamingHandler(())
