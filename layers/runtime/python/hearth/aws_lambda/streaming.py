"""A Lambda runtime that streams responses.

AWS's Python runtime returns one value per event. This runtime gets events from the Runtime API itself: responses to the
services in HEARTH_STREAM are streamed, responses to other events are sent whole, by the same handler. Neither the event
nor the Runtime API tells which format the caller expects, and a caller cannot read the other format, so the variable
must match the template's integrations. Application load balancers and HTTP APIs do not support streaming.
"""

from __future__ import annotations

import contextvars
import importlib
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from hearth import deadline, settings
from hearth.aws_lambda.handler import Handler, early_error, fail_early, run_shadows
from hearth.aws_lambda.runtime_api import ClientDisconnected, Context, Invocation, RuntimeApi, Stream, describe_error
from hearth.errors import ENDS
from hearth.http.pipeline import HttpResponse

TRACE = "_X_AMZN_TRACE_ID"
DELIMITER = bytes(8)
"""Delimiter between the prelude and the body."""


def event_source(event: Any) -> str:
    """The service of settings.STREAMING_SOURCES that sent the event; empty for services that cannot stream."""
    context = event.get("requestContext") if isinstance(event, dict) else None
    if not isinstance(context, dict) or "elb" in context:
        return ""
    if "http" in context:
        return "url" if ".lambda-url." in str(context.get("domainName")) else ""
    # HTTP APIs can send this format too, but with a version.
    return "rest" if {"httpMethod", "resource"} <= set(event) and "version" not in event else ""


def prelude(status: int, headers: Mapping[str, str]) -> bytes:
    """Status and headers in the format of API Gateway and function URLs before a streamed body, with the delimiter.

    `headers` have names in lower case. Content-Length is omitted, because these services frame the body themselves.
    """
    document = {
        "statusCode": status,
        "headers": {name: value for name, value in headers.items() if name != "content-length"},
    }
    return json.dumps(document).encode() + DELIMITER


class Runtime:
    def __init__(self, api: RuntimeApi, handler: Handler, streams: frozenset[str]) -> None:
        self._api, self._handler, self._streams = api, handler, streams

    def serve_next(self) -> None:
        """Get one event and respond to it. Raises RuntimeApiError."""
        invocation = self._api.next()
        if invocation.trace_id:
            os.environ[TRACE] = invocation.trace_id
        else:
            os.environ.pop(TRACE, None)
        try:
            event, context = json.loads(invocation.body), invocation.context
        except (ValueError, RecursionError) as error:
            self._api.fail(invocation, describe_error(error, "Runtime.UnmarshalError", invocation.id))
            return
        if event_source(event) in self._streams:
            # Context variables that a request sets are discarded after it.
            contextvars.copy_context().run(self._respond_streamed, invocation, event, context)
        else:
            self._respond_whole(invocation, event, context)
        contextvars.copy_context().run(run_shadows, context)

    def _respond_whole(self, invocation: Invocation, event: Any, context: Context) -> None:
        try:
            body = json.dumps(self._handler(event, context), ensure_ascii=False).encode()
        except ENDS:
            raise
        except BaseException as error:
            self._api.fail(invocation, describe_error(error, request_id=invocation.id))
            return
        self._api.respond(invocation, body)

    def _respond_streamed(self, invocation: Invocation, event: dict[str, Any], context: Context) -> None:
        deadline.set_from(context)
        stream = self._api.stream(invocation)
        try:
            try:
                _send(self._handler.respond(event, context, streams=True), stream)
            except (ClientDisconnected, *ENDS):
                raise
            except BaseException as exception:
                error = early_error(exception)
                if stream.began:
                    stream.abort(describe_error(error, type(exception).__name__, invocation.id))
                else:
                    head = prelude(error.status, {"content-type": "application/json"})
                    stream.end(head + json.dumps(fail_early(error, context)).encode())
        except ClientDisconnected:
            return


def _send(response: HttpResponse, stream: Stream) -> None:
    """Send a response piece by piece. Raises ClientDisconnected, and what producing a piece raises."""
    head = prelude(response.status, response.headers)
    if isinstance(response.body, bytes):
        stream.end(head + response.body)
        return
    try:
        for piece in response.body:
            stream.write(head + piece)
            head = b""
        stream.end(head)
    finally:
        response.body.close()


def load(name: str) -> Handler:
    """The handler `module.attribute`. Raises what its import raises, and TypeError for another kind of handler."""
    module, _, attribute = name.rpartition(".")
    handler = getattr(importlib.import_module(module.replace("/", ".")), attribute)
    if not isinstance(handler, Handler):
        raise TypeError(f"{name} was not created by create_handler, so it cannot stream")
    return handler


def main(name: str, environ: Mapping[str, str] = os.environ) -> NoReturn:
    """Serve the handler until the sandbox ends. Exits with 1 if the handler cannot be loaded."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)  # log lines must not wait for the next event
    api = RuntimeApi(environ["AWS_LAMBDA_RUNTIME_API"])
    try:
        runtime = Runtime(api, load(name), settings.get().streams)
    except Exception as error:
        kind = "Runtime.ImportModuleError" if isinstance(error, ImportError) else ""
        failure = describe_error(error, kind)
        print(json.dumps({"level": "ERROR", **failure}), file=sys.stderr)
        api.fail_init(failure)
        sys.exit(1)
    if environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        _restore(api)
    while True:
        runtime.serve_next()


def _restore(api: RuntimeApi) -> None:
    """Let Lambda take the snapshot, and prepare the environment that was restored. Exits with 1 if it cannot be."""
    from hearth.aws_lambda import snapstart

    snapstart.before_snapshot()
    api.wait_for_restore()
    try:
        snapstart.after_restore()
    except Exception as error:
        api.fail_restore(describe_error(error, "Runtime.RestoreError"))
        sys.exit(1)
