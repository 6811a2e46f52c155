"""A Lambda runtime of our own, which streams: `python -m hearth.aws_lambda.streaming app.handler`, as /opt/bootstrap-stream does.

AWS's Python runtime returns one value for one event. This one asks the Runtime API for events itself and serves the
same app: what comes through a front door that HEARTH_STREAM names leaves piece by piece, all else is answered whole
by the same handler. Nothing in an event or in the Runtime API says which of both its caller wants, and whoever is
sent the wrong form cannot read it, so the variable has to say what the template's integrations are. Application load
balancers and HTTP APIs cannot stream at all.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from hearth import deadline, settings
from hearth.aws_lambda.handler import Handler, failed, refusal
from hearth.aws_lambda.runtime_api import Context, Gone, Invocation, RuntimeApi, Stream, described
from hearth.errors import ENDS

TRACE = "_X_AMZN_TRACE_ID"
DELIMITER = bytes(8)
"""Between the prelude and the body."""


def front_door(event: Any) -> str:
    """What of FRONT_DOORS the event came through; empty for all that cannot stream."""
    told = event.get("requestContext") if isinstance(event, dict) else None
    if not isinstance(told, dict) or "elb" in told:
        return ""
    if "http" in told:
        return "url" if ".lambda-url." in str(told.get("domainName")) else ""
    # HTTP APIs send this form too, with a version.
    return "rest" if {"httpMethod", "resource"} <= set(event) and "version" not in event else ""


def prelude(status: int, headers: Iterable[tuple[bytes, bytes]], door: str) -> bytes:
    """Status and headers as the front door reads them, with the delimiter."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    values.pop("content-length", None)  # the front door frames the body itself, and would rename this header
    form: dict[str, Any] = {"statusCode": status}
    if door == "url":
        cookies = values.pop("set-cookie", [])
        form |= {"headers": {name: ", ".join(of) for name, of in values.items()}, "cookies": cookies}
    else:
        form["headers"] = {name: of[0] for name, of in values.items() if len(of) == 1}
        form["multiValueHeaders"] = {name: of for name, of in values.items() if len(of) > 1}
    return json.dumps({key: part for key, part in form.items() if part != [] and part != {}}).encode() + DELIMITER


class Exchange:
    """One request under ASGI. Each piece leaves before the app makes the next."""

    def __init__(self, stream: Stream, door: str, body: bytes) -> None:
        self._stream, self._door, self._body = stream, door, body
        self._asked = False
        self._head = b""

    async def receive(self) -> dict[str, Any]:
        if self._asked:
            # Nobody is told that the client has gone but by writing to it.
            await asyncio.Future()
        self._asked = True
        return {"type": "http.request", "body": self._body, "more_body": False}

    async def send(self, message: Mapping[str, Any]) -> None:
        """Raises Gone, an OSError, which is how ASGI says that the client has left."""
        if message["type"] == "http.response.start":
            self._head = prelude(message["status"], message.get("headers", ()), self._door)
            return
        piece, self._head = self._head + message.get("body", b""), b""
        if message.get("more_body"):
            self._stream.write(piece)
        else:
            self._stream.end(piece)


class Runtime:
    def __init__(self, api: RuntimeApi, handler: Handler, streams: frozenset[str]) -> None:
        self._api, self._handler, self._streams = api, handler, streams
        self._loop: asyncio.AbstractEventLoop | None = None

    def turn(self) -> None:
        """One event, from asking for it to the end of its answer. Raises RuntimeApiError."""
        invocation = self._api.next()
        if invocation.trace_id:
            os.environ[TRACE] = invocation.trace_id
        else:
            os.environ.pop(TRACE, None)
        try:
            event, context = json.loads(invocation.body), invocation.context
        except (ValueError, RecursionError) as error:
            self._api.fail(invocation, described(error, "Runtime.UnmarshalError", invocation.id))
            return
        if (door := front_door(event)) in self._streams:
            # What a request leaves in context variables goes with it.
            contextvars.copy_context().run(self._stream, invocation, door, event, context)
        else:
            self._whole(invocation, event, context)

    def _whole(self, invocation: Invocation, event: Any, context: Context) -> None:
        try:
            answer = json.dumps(self._handler(event, context), ensure_ascii=False).encode()
        except ENDS:
            raise
        except BaseException as error:
            self._api.fail(invocation, described(error, request_id=invocation.id))
            return
        self._api.answer(invocation, answer)

    def _stream(self, invocation: Invocation, door: str, event: dict[str, Any], context: Context) -> None:
        deadline.set_from(context)
        stream = self._api.stream(invocation)
        try:
            try:
                self._handler.read(event)
                gateway = self._handler.web.infer(event, context)
                told = {"hearth.streams": True, "asgi": {"version": "3.0", "spec_version": "2.4"}}
                scope, exchange = gateway.scope | told, Exchange(stream, door, gateway.body)
                self._run(self._handler.web.app(scope, exchange.receive, exchange.send))
                if not stream.ended:
                    raise RuntimeError("the app has left its answer open")
            except ENDS:
                raise
            except BaseException as error:
                if stream.gone:
                    return
                failure = failed(error)
                if stream.ended:  # an answer that was whole already
                    return
                if stream.began:
                    stream.break_off(described(failure, type(error).__name__, invocation.id))
                else:
                    headers = [(b"content-type", b"application/json")]
                    stream.end(prelude(failure.status, headers, door) + json.dumps(refusal(failure)).encode())
        except Gone:
            return

    def _run(self, app: Any) -> None:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(app)


def load(name: str) -> Handler:
    """The handler `module.attribute`. Raises whatever its import raises, and TypeError for one that is not ours."""
    module, _, attribute = name.rpartition(".")
    handler = getattr(importlib.import_module(module.replace("/", ".")), attribute)
    if not isinstance(handler, Handler):
        raise TypeError(
            f"{name} is not what hearth.aws_lambda.handler.create_handler makes, so it has no app to stream from"
        )
    return handler


def main(name: str, environ: Mapping[str, str] = os.environ) -> NoReturn:
    """Serve the handler until the sandbox ends. Exits with 1 where the handler cannot be had."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)  # a line of the log must not wait for the next event
    api = RuntimeApi(environ["AWS_LAMBDA_RUNTIME_API"])
    try:
        runtime = Runtime(api, load(name), settings.get().streams)
    except Exception as error:
        kind = "Runtime.ImportModuleError" if isinstance(error, ImportError) else ""
        failure = described(error, kind)
        print(json.dumps({"level": "ERROR", **failure}), file=sys.stderr)
        api.fail_init(failure)
        sys.exit(1)
    while True:
        runtime.turn()


if __name__ == "__main__":
    main(sys.argv[1])
