"""The Lambda handler: HTTP, storage events and batches go to their modules, and a clear answer to all else."""

from __future__ import annotations

import binascii
import contextvars
import functools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth import deadline
from hearth.errors import ENDS, BadRequest, HearthError, PayloadTooLarge
from hearth.tasks.task import Task

if TYPE_CHECKING:
    from hearth.aws_lambda.http_adapter import HttpAdapter
    from hearth.http.pipeline import HttpResponse

MAX_RESPONSE_BYTES = 6_291_556
"""Of a synchronous response, envelope included."""


class Handler:
    """What Lambda calls with (event, context).

    It raises for two things only: a storage event that came without a queue and failed, since Lambda keeps such an
    event, for a retry and then for the failure destination, only if the handler raises; and a batch to be retried.
    """

    def __init__(self, tasks: Sequence[Task], folder: Path | None = None) -> None:
        self.tasks = tasks
        self.folder = folder

    def __call__(self, event: Any, context: Any) -> Any:
        # What a request leaves in context variables goes with it.
        return contextvars.copy_context().run(self._answer, event, context)

    def _answer(self, event: Any, context: Any) -> Any:
        deadline.set_from(context)
        if not isinstance(event, dict):
            return error_body(BadRequest("An event is a JSON object"))
        request_context = event.get("requestContext")
        if "httpMethod" in event or (isinstance(request_context, dict) and "http" in request_context):
            return self._answer_http(event, context)
        if event.get("ping") is True:
            return _ping()
        if event.get("golden") is True:
            return _golden(self.tasks, event.get("models"))
        if "Records" in event or event.get("source") == "aws.s3":
            from hearth.async_inference import storage_events

            try:
                return storage_events.handle(self.tasks, event, context)
            except (AttributeError, KeyError, TypeError, ValueError):  # what is wrong with an object is caught before
                return error_body(BadRequest("This looks like a storage event, and has not the form of one"))
        if "batch" in event:
            from hearth.async_inference import batch

            try:
                return batch.handle(self.tasks, event, context)
            except BadRequest as error:
                return error_body(error)
        if event.get("Event") == "s3:TestEvent":
            return {}
        return error_body(BadRequest('This function answers HTTP events, storage events, batches and {"ping": true}'))

    def _answer_http(self, event: dict[str, Any], context: Any) -> Any:
        from hearth.aws_lambda import http_event

        try:
            response = self.respond(event, context)
            body = response.body if isinstance(response.body, bytes) else b"".join(response.body)
            headers = response.headers
            if response.status not in (204, 304):
                headers = headers | {"content-length": str(len(body))}
            answer = http_event.write(event, response.status, headers, body)
            if _fits(answer):
                return answer
            error: HearthError = PayloadTooLarge(
                f"The answer has more than the {MAX_RESPONSE_BYTES} bytes a Lambda may return; ask for less at once"
            )
        except ENDS:
            raise
        except BaseException as caught:
            error = early_error(caught)
        return {
            "statusCode": error.status,
            "headers": {"content-type": "application/json"},
            "body": json.dumps(fail_early(error, context)),
            "isBase64Encoded": False,
        }

    def respond(self, event: dict[str, Any], context: Any, *, streams: bool = False) -> HttpResponse:
        """The response to an HTTP event, in pieces only where it `streams`. Raises BadRequest, binascii.Error for an
        event that is no HTTP event."""
        from hearth.aws_lambda import http_event

        request = http_event.read(event)
        return self._adapter.respond(request, event, context, streams=streams)

    @functools.cached_property
    def _adapter(self) -> HttpAdapter:
        """Only HTTP pays for it."""
        from hearth.aws_lambda.http_adapter import HttpAdapter

        return HttpAdapter(self.tasks, self.folder)


def create_handler(tasks: Sequence[Task], folder: Path | None = None) -> Handler:
    """The handler of a function that serves `tasks`, and the playground that lies in `folder`."""
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        from hearth.aws_lambda import snapstart

        snapstart.register()
    return Handler(tasks, folder)


def early_error(error: BaseException) -> HearthError:
    """What the caller of an HTTP event is told of an exception that came before its request had a route."""
    if isinstance(error, binascii.Error):
        return BadRequest("The body says it is base64, and is not")
    from hearth.telemetry.log import as_hearth_error

    return as_hearth_error(error)


def fail_early(error: HearthError, context: Any) -> dict[str, str]:
    """Write the log line of an HTTP event that reached no route; its answer's body."""
    from hearth.telemetry import log, timing

    request_id = getattr(context, "aws_request_id", "")
    log.finish_request(timing.begin(), request_id=request_id, status=error.status, trigger="http", failure=error)
    return error_body(error)


def error_body(error: HearthError) -> dict[str, str]:
    return {"error": error.message, "error_type": error.code}


def _fits(answer: dict[str, Any]) -> bool:
    """Whether Lambda takes it. Only a body that may grow past the limit as a JSON string is measured."""
    body = answer["body"]
    return (
        6 * len(body) < MAX_RESPONSE_BYTES or len(json.dumps(answer, ensure_ascii=False).encode()) < MAX_RESPONSE_BYTES
    )


def _ping() -> dict[str, Any]:
    """Load the models that this function pins, and say which."""
    from hearth import settings
    from hearth.models.cache import warm_cache

    models: dict[str, str] = {}
    for name in settings.get().models:
        try:
            with warm_cache().get(name) as model:
                models[name] = model.manifest.version
        except ENDS:
            raise
        except BaseException as caught:
            error = early_error(caught)
            models[name] = f"{error.code}: {error.message}"
    return {"pong": True, "models": models}


def _golden(tasks: Sequence[Task], models: Any) -> dict[str, Any]:
    """Give golden answers again, of the models that this function pins or of those that are named."""
    from hearth.tasks import golden

    if models is not None and not (isinstance(models, list) and all(isinstance(name, str) for name in models)):
        return error_body(BadRequest("`models` of a golden event is a list of names"))
    return golden.check(tasks, models or ())
