"""A Lambda runtime of our own, which streams.

AWS's Python runtime returns one value for one event. This one asks the Runtime API for events itself: what comes from a
service that HEARTH_STREAM names leaves piece by piece, all else is answered whole by the same handler. Nothing in an
event or in the Runtime API says which of both its caller wants, and whoever is sent the wrong form cannot read it, so
the variable has to say what the template's integrations are. Application load balancers and HTTP APIs cannot stream at
all.
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
from hearth.aws_lambda.handler import Handler, early_error, fail_early
from hearth.aws_lambda.runtime_api import Context, Gone, Invocation, RuntimeApi, Stream, describe_error
from hearth.errors import ENDS
from hearth.http.pipeline import HttpResponse

TRACE = "_X_AMZN_TRACE_ID"
DELIMITER = bytes(8)
"""Between the prelude and the body."""


def event_source(event: Any) -> str:
    """The service of settings.STREAMING_SOURCES that the event comes from; empty for all that cannot stream."""
    context = event.get("requestContext") if isinstance(event, dict) else None
    if not isinstance(context, dict) or "elb" in context:
        return ""
    if "http" in context:
        return "url" if ".lambda-url." in str(context.get("domainName")) else ""
    # HTTP APIs send this form too, with a version.
    return "rest" if {"httpMethod", "resource"} <= set(event) and "version" not in event else ""


def prelude(status: int, headers: Mapping[str, str]) -> bytes:
    """Status and headers as API Gateway and function URLs read them before a body that streams, with the delimiter.

    `headers` by names in lower case. The length of the body is left out: these services frame it themselves.
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
        """One event, from asking for it to the end of its answer. Raises RuntimeApiError."""
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
            # What a request leaves in context variables goes with it.
            contextvars.copy_context().run(self._answer_in_pieces, invocation, event, context)
        else:
            self._answer_whole(invocation, event, context)

    def _answer_whole(self, invocation: Invocation, event: Any, context: Context) -> None:
        try:
            answer = json.dumps(self._handler(event, context), ensure_ascii=False).encode()
        except ENDS:
            raise
        except BaseException as error:
            self._api.fail(invocation, describe_error(error, request_id=invocation.id))
            return
        self._api.answer(invocation, answer)

    def _answer_in_pieces(self, invocation: Invocation, event: dict[str, Any], context: Context) -> None:
        deadline.set_from(context)
        stream = self._api.stream(invocation)
        try:
            try:
                _send(self._handler.respond(event, context, streams=True), stream)
            except (Gone, *ENDS):
                raise
            except BaseException as caught:
                error = early_error(caught)
                if stream.began:
                    stream.break_off(describe_error(error, type(caught).__name__, invocation.id))
                else:
                    head = prelude(error.status, {"content-type": "application/json"})
                    stream.end(head + json.dumps(fail_early(error, context)).encode())
        except Gone:
            return


def _send(response: HttpResponse, stream: Stream) -> None:
    """Send a response; each piece leaves before the next is made. Raises Gone, and what making a piece raises."""
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
    """The handler `module.attribute`. Raises whatever its import raises, and TypeError for one that is not ours."""
    module, _, attribute = name.rpartition(".")
    handler = getattr(importlib.import_module(module.replace("/", ".")), attribute)
    if not isinstance(handler, Handler):
        raise TypeError(f"{name} is not what create_handler makes, so it cannot answer in pieces")
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
        failure = describe_error(error, kind)
        print(json.dumps({"level": "ERROR", **failure}), file=sys.stderr)
        api.fail_init(failure)
        sys.exit(1)
    while True:
        runtime.serve_next()
