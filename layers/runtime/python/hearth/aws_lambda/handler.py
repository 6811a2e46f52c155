"""The Lambda handler: HTTP, storage events and batches go to their modules, and a clean answer to all else."""

from __future__ import annotations

import binascii
import contextvars
import functools
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth import deadline
from hearth.errors import ENDS, BadRequest, HearthError, PayloadTooLarge
from hearth.tasks.task import Task

if TYPE_CHECKING:
    from hearth.aws_lambda.http_event import Asked

ASKED = re.compile(
    r"/(?:models|endpoints|pipeline/[^/]+)/([^/]+)(?:/versions/([^/]+))?"
    r"(?:/(?:infer|generate|generate_stream|invocations|v1/chat/completions))?$"
)
"""Paths that say which model will answer, and perhaps its version."""
MAX_ANSWER = 6_291_556
"""Bytes of a synchronous answer, envelope included."""


class Handler:
    """What Lambda calls with (event, context).

    It raises for two things only: a storage event that came without a queue and failed, since Lambda keeps such an
    event, for a retry and then for the failure destination, only if the handler raises; and a batch to be retried.
    """

    def __init__(self, tasks: Sequence[Task], folder: Path | None = None) -> None:
        self.tasks = tasks
        self.folder = folder

    @functools.cached_property
    def web(self) -> Any:
        """The gateway to the routes. Only HTTP pays for them."""
        from hearth.aws_lambda.http_adapter import Gateway

        return Gateway(self.tasks, self.folder)

    def read(self, event: dict[str, Any]) -> Asked:
        """What an HTTP event asks; the model of the first begins to load. Raises BadRequest, binascii.Error."""
        from hearth.aws_lambda import http_event

        asked = http_event.read(event)
        if self.tasks and "web" not in self.__dict__:
            _load_ahead(asked, event)
        return asked

    def __call__(self, event: Any, context: Any) -> Any:
        # What a request leaves in context variables goes with it.
        return contextvars.copy_context().run(self._answer, event, context)

    def _answer(self, event: Any, context: Any) -> Any:
        deadline.set_from(context)
        if not isinstance(event, dict):
            return refusal(BadRequest("An event is a JSON object"))
        context_of_request = event.get("requestContext")
        if "httpMethod" in event or (isinstance(context_of_request, dict) and "http" in context_of_request):
            return self._http(event, context)
        if event.get("ping") is True:
            return _ping()
        if event.get("golden") is True:
            return _golden(self.tasks, event.get("models"))
        if "Records" in event or event.get("source") == "aws.s3":
            from hearth.async_inference import storage_events

            try:
                return storage_events.handle(self.tasks, event, context)
            except (AttributeError, KeyError, TypeError, ValueError):  # what is wrong with an object is caught before
                return refusal(BadRequest("This looks like a storage event, and has not the form of one"))
        if "batch" in event:
            from hearth.async_inference import batch

            try:
                return batch.handle(self.tasks, event, context)
            except BadRequest as error:
                return refusal(error)
        if event.get("Event") == "s3:TestEvent":
            return {}
        return refusal(BadRequest('This function answers HTTP events, storage events, batches and {"ping": true}'))

    def _http(self, event: dict[str, Any], context: Any) -> Any:
        try:
            asked = self.read(event)  # which begins to load the model while `web` is imported
            answer = self.web(asked, event, context)
            if _fits(answer):
                return answer
            failure: HearthError = PayloadTooLarge(
                f"The answer is larger than the {MAX_ANSWER} bytes that a Lambda may return; ask for less at once"
            )
        except ENDS:
            raise
        except BaseException as error:
            failure = failed(error)
        from hearth.telemetry import log, timing

        log.request(
            timing.begin(),
            request_id=getattr(context, "aws_request_id", ""),
            status=failure.status,
            trigger="http",
            failure=failure,
        )
        return {
            "statusCode": failure.status,
            "headers": {"content-type": "application/json"},
            "body": json.dumps(refusal(failure)),
            "isBase64Encoded": False,
        }


def create_handler(tasks: Sequence[Task], folder: Path | None = None) -> Handler:
    """The handler of a function that serves `tasks`, and the page that lies in `folder`."""
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        from hearth.aws_lambda import snapstart

        snapstart.register()
    return Handler(tasks, folder)


def failed(error: BaseException) -> HearthError:
    """What an HTTP event's caller is told of an exception that came before an answer."""
    if isinstance(error, binascii.Error):
        return BadRequest("The body says it is base64, and is not")
    from hearth.telemetry import log

    return log.ours(error)


def _load_ahead(asked: Asked, event: dict[str, Any]) -> None:
    """Load the model that the path asks while the way to the answer is imported."""
    from hearth.models import preload

    if asked.method != "POST":
        return
    found = ASKED.search(asked.path)
    if not found:
        return
    name = re.sub(r"-raw(-\w+)?(?=@|$)", "", "@".join(filter(None, found.groups())))
    if _may(asked, event, name):
        preload.load(name)


def _may(asked: Asked, event: dict[str, Any], name: str) -> bool:
    """Whether a model may be loaded for who sent the event; a refusal is worded where the request is answered."""
    from hearth.auth import api_keys

    try:
        caller, _ = api_keys.identify(asked.headers, event)
    except HearthError:
        return False
    return caller.may(name.partition("@")[0])


def _fits(answer: dict[str, Any]) -> bool:
    """Whether Lambda takes it; only a body that may grow past the limit as a JSON string is measured."""
    body = answer["body"]
    return 6 * len(body) < MAX_ANSWER or len(json.dumps(answer, ensure_ascii=False).encode()) < MAX_ANSWER


def refusal(failure: HearthError) -> dict[str, str]:
    return {"error": failure.message, "error_type": failure.code}


def _ping() -> dict[str, Any]:
    """Load the models that this function pins, and say which."""
    from hearth import settings
    from hearth.models.cache import warm

    loaded: dict[str, str] = {}
    for name in settings.get().models:
        try:
            with warm().get(name) as model:
                loaded[name] = model.manifest.version
        except ENDS:
            raise
        except BaseException as error:
            failure = failed(error)
            loaded[name] = f"{failure.code}: {failure.message}"
    return {"pong": True, "models": loaded}


def _golden(tasks: Sequence[Task], models: Any) -> dict[str, Any]:
    """Give golden answers again, of the models that this function pins or of those that are named."""
    from hearth.tasks import golden

    if models is not None and not (isinstance(models, list) and all(isinstance(name, str) for name in models)):
        return refusal(BadRequest("`models` of a golden event is a list of names"))
    return golden.check(tasks, models or ())
