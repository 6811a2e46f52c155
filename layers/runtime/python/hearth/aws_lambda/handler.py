"""The Lambda handler: dispatches HTTP, storage and batch events to their modules, and rejects other events."""

from __future__ import annotations

import binascii
import contextvars
import functools
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth import deadline
from hearth.errors import ENDS, BadRequest, HearthError, PayloadTooLarge
from hearth.tasks.task import Tasks

if TYPE_CHECKING:
    from hearth.aws_lambda.http_adapter import HttpAdapter
    from hearth.http.pipeline import HttpResponse

MAX_RESPONSE_BYTES = 6_291_556
"""Largest size of a synchronous response, envelope included."""
SHADOW = "hearth.tasks.shadow"
"""The module that the first request whose alias has a shadow imports."""


class Handler:
    """The callable that Lambda calls with (event, context).

    It raises only for failed storage events without a queue and for batches that must be retried, because Lambda
    retries an event, and then sends it to the failure destination, only if the handler raises.
    """

    def __init__(self, tasks: Tasks, folder: Path | None = None) -> None:
        self.tasks = tasks
        self.folder = folder

    def __call__(self, event: Any, context: Any) -> Any:
        # Context variables that a request sets are discarded after it.
        return contextvars.copy_context().run(self._dispatch, event, context)

    def _dispatch(self, event: Any, context: Any) -> Any:
        deadline.set_from(context)
        if not isinstance(event, dict):
            return error_body(BadRequest("An event is a JSON object"))
        request_context = event.get("requestContext")
        if "httpMethod" in event or (isinstance(request_context, dict) and "http" in request_context):
            return self._handle_http(event, context)
        if event.get("ping") is True:
            return _ping()
        if event.get("golden") is True:
            return _golden(self.tasks, event.get("models"))
        if "Records" in event or event.get("source") == "aws.s3":
            from hearth.async_inference import storage_events

            try:
                response = storage_events.handle(self.tasks, event, context)
                if SHADOW in sys.modules:
                    run_shadows(context)
                return response
            except (AttributeError, KeyError, TypeError, ValueError):  # errors of single objects are caught before
                return error_body(
                    BadRequest("The event looks like a storage event, but does not have the format of one")
                )
        if "batch" in event:
            from hearth.async_inference import batch

            try:
                response = batch.handle(self.tasks, event, context)
                if SHADOW in sys.modules:
                    run_shadows(context)
                return response
            except BadRequest as error:
                return error_body(error)
        if event.get("Event") == "s3:TestEvent":
            return {}
        return error_body(BadRequest('This function supports HTTP events, storage events, batches and {"ping": true}'))

    def _handle_http(self, event: dict[str, Any], context: Any) -> Any:
        from hearth.aws_lambda import http_event

        try:
            response = self.respond(event, context)
            body = response.body if isinstance(response.body, bytes) else b"".join(response.body)
            headers = response.headers
            if response.status not in (204, 304):
                headers = headers | {"content-length": str(len(body))}
            written = http_event.write(event, response.status, headers, body)
            if _fits(written):
                return written
            error: HearthError = PayloadTooLarge(
                f"The response has more than the {MAX_RESPONSE_BYTES} bytes a Lambda can return; request less at once"
            )
        except ENDS:
            raise
        except BaseException as exception:
            error = early_error(exception)
        return {
            "statusCode": error.status,
            "headers": {"content-type": "application/json"},
            "body": json.dumps(fail_early(error, context)),
            "isBase64Encoded": False,
        }

    def respond(self, event: dict[str, Any], context: Any, *, streams: bool = False) -> HttpResponse:
        """The response to an HTTP event, streamed only if `streams`. Raises BadRequest, binascii.Error for an invalid
        event."""
        from hearth.aws_lambda import http_event

        request = http_event.read(event)
        return self._adapter.respond(request, event, context, streams=streams)

    @functools.cached_property
    def _adapter(self) -> HttpAdapter:
        """Created at the first HTTP event; other events do not need it."""
        from hearth.aws_lambda.http_adapter import HttpAdapter

        return HttpAdapter(self.tasks, self.folder)


def create_handler(tasks: Tasks, folder: Path | None = None) -> Handler:
    """The handler of a function that serves `tasks`, and the playground in `folder`."""
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        from hearth.aws_lambda import snapstart

        snapstart.register()
    return Handler(tasks, folder)


def early_error(error: BaseException) -> HearthError:
    """The error that a caller gets for an exception before the request had a route."""
    if isinstance(error, binascii.Error):
        return BadRequest("The body is not valid base64")
    from hearth.telemetry.log import as_hearth_error

    return as_hearth_error(error)


def fail_early(error: HearthError, context: Any) -> dict[str, str]:
    """Write the log line of an HTTP event without a route, and return the response's body."""
    from hearth.telemetry import log, timing

    request_id = getattr(context, "aws_request_id", "")
    log.finish_request(timing.begin(), request_id=request_id, status=error.status, trigger="http", failure=error)
    return error_body(error)


def error_body(error: HearthError) -> dict[str, str]:
    return {"error": error.message, "error_type": error.code}


def _fits(response: dict[str, Any]) -> bool:
    """Whether Lambda accepts a response. Only bodies that may exceed the limit as a JSON string are encoded to
    check."""
    body = response["body"]
    return (
        6 * len(body) < MAX_RESPONSE_BYTES
        or len(json.dumps(response, ensure_ascii=False).encode()) < MAX_RESPONSE_BYTES
    )


def _ping() -> dict[str, Any]:
    """Load the models that this function pins, and report their versions."""
    from hearth import settings
    from hearth.models.cache import warm_cache

    models: dict[str, str] = {}
    for name in settings.get().models:
        try:
            with warm_cache().get(name) as model:
                models[name] = model.manifest.version
        except ENDS:
            raise
        except BaseException as exception:
            error = early_error(exception)
            models[name] = f"{error.code}: {error.message}"
    return {"pong": True, "models": models}


def run_shadows(context: Any) -> None:
    """Compute the answers of shadows whose requests have been answered, until the invocation's timeout."""
    if shadow := sys.modules.get(SHADOW):
        deadline.set_from(context)
        shadow.run_waiting()


def _golden(tasks: Tasks, models: Any) -> dict[str, Any]:
    """Replay the golden answers of `models`, or of those that `golden.check` chooses."""
    from hearth.tasks import golden

    if models is not None and not (isinstance(models, list) and all(isinstance(name, str) for name in models)):
        return error_body(BadRequest("`models` of a golden event must be a list of names"))
    try:
        return golden.check(tasks, models or ())
    except HearthError as error:
        return error_body(error)
