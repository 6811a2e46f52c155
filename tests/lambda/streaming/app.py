"""An app that does all that an answer can do, for the tests of the runtime."""

from __future__ import annotations

import functools
import json
import os
import sys
from pathlib import Path
from typing import Any

from hearth.aws_lambda.handler import Handler

PIECE = 65536


class Panic(BaseException):
    """As a tokenizer raises it: no Exception."""


def scratch(name: str) -> Path:
    return Path(os.environ["SCRATCH"]) / name


async def app(scope: Any, receive: Any, send: Any) -> None:
    async def start(status: int = 200, *headers: tuple[bytes, bytes]) -> None:
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def body(piece: bytes = b"", more: bool = True) -> None:
        await send({"type": "http.response.body", "body": piece, "more_body": more})

    match scope["path"]:
        case "/pieces":  # each made only when the test has said so
            await start(200, (b"content-type", b"text/event-stream"))
            with scratch("gate").open("rb", buffering=0) as gate:
                while word := gate.read(1):
                    await body(b"data: " + word + b"\n\n")
            await body(more=False)
        case "/flood":
            made = 0
            await start()
            try:
                while True:
                    await body(bytes(PIECE))
                    made += 1
                    scratch("made").write_text(str(made))
            finally:
                scratch("closed").write_text(str(made))
        case "/before":
            await start()
            raise LookupError("a secret of the caller")
        case "/after":
            await start()
            await body(b"half")
            raise LookupError("a secret of the caller")
        case "/panic":
            raise Panic("a secret of the caller")
        case "/late-panic":
            await start()
            await body(b"half")
            raise Panic("a secret of the caller")
        case "/too-late":
            await start()
            await body(b"all", more=False)
            raise LookupError("a secret of the caller")
        case "/open":
            await start()
            await body(b"half")
        case "/nothing":
            return
        case "/early":  # the head alone, then nothing, then a byte
            await start(200)
            await body()
            await body()
            await body(b"x")
            await body(more=False)
        case "/binary":
            await start(200, (b"content-type", b"image/png"))
            await body(bytes(range(256)) * 2, more=False)
        case "/headers":
            cookies = [(b"set-cookie", b"a=1; Path=/"), (b"Set-Cookie", b"b=2")]
            await start(
                418, (b"Content-Length", b"12"), (b"X-One", b"caf\xe9"), (b"x-two", b"1"), (b"X-Two", b"2"), *cookies
            )
            await body("große Kanne".encode(), more=False)
        case "/no-content":
            await start(204)
            await body(more=False)
        case _:
            told = await receive()
            echo = {
                "method": scope["method"],
                "path": scope["path"],
                "query": scope["query_string"].decode(),
                "headers": {name.decode(): value.decode() for name, value in scope["headers"]},
                "body": list(told["body"]),
                "more": told["more_body"],
                "streams": scope.get("hearth.streams"),
                "request_id": scope["aws.context"].aws_request_id,
                "remaining": scope["aws.context"].get_remaining_time_in_millis(),
                "arn": scope["aws.context"].invoked_function_arn,
                "trace": os.environ.get("_X_AMZN_TRACE_ID"),
            }
            await start(200, (b"content-type", b"application/json"))
            await body(json.dumps(echo).encode(), more=False)


class Own(Handler):
    @functools.cached_property
    def web(self) -> Any:
        from mangum import Mangum

        class Whole(Mangum):
            def __call__(self, asked: Any, event: Any, context: Any) -> Any:  # type: ignore[override]
                return super().__call__(event, context)

        return Whole(app, lifespan="off")

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


handler = Own(())
