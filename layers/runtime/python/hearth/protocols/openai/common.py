"""Shared by OpenAI's routes: error bodies, refused fields, the model of a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from hearth import strict_json
from hearth.errors import (
    BadRequest,
    Forbidden,
    HearthError,
    NotFound,
    PayloadTooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from hearth.models.model import Model
from hearth.protocols.base import Request
from hearth.tasks.task import Task

T = TypeVar("T")


class OpenAIErrorDetail(msgspec.Struct, frozen=True):
    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(msgspec.Struct, frozen=True):
    error: OpenAIErrorDetail


def encode_error(error: HearthError, request_id: str) -> bytes:
    kind, code = "server_error", error.code
    if isinstance(error, BadRequest):
        kind, code = "invalid_request_error", error.code if error.code != "bad_request" else "invalid_value"
    if isinstance(error, NotFound):
        code = "model_not_found" if error.param == "model" else "not_found"
    if isinstance(error, Forbidden):
        kind = "permission_error"
    if isinstance(error, Unauthorized):
        code = "invalid_api_key"
    if isinstance(error, TooManyRequests):
        kind, code = "rate_limit_error", "rate_limit_exceeded"
    if isinstance(error, PayloadTooLarge) and "tokens" in error.message:
        code = "context_length_exceeded"
    return msgspec.json.encode(OpenAIError(OpenAIErrorDetail(error.message, kind, error.param, code)))


def error_headers(error: HearthError) -> Mapping[str, str]:
    """Tell OpenAI's client whether to retry; by default it retries after any 5xx."""
    return {"x-should-retry": "true" if isinstance(error, (Unavailable, TooManyRequests)) else "false"}


def read(request: Request, schema: type[T], refused: Mapping[str, Sequence[Any]]) -> T:
    """Decode the body as `schema`. No model here supports the fields in `refused`, so they may only have the values
    listed there. Raises BadRequest with `param`."""
    document = strict_json.loads(request.body)
    if isinstance(document, dict):
        for name in refused.keys() & document.keys():
            if document[name] is not None and document[name] not in refused[name]:
                raise BadRequest(f"No model here supports this value of `{name}`; leave it out", param=name)
        document = {name: value for name, value in document.items() if name not in refused and value is not None}
    return strict_json.convert(document, schema)


def open_model(request: Request, name: str, task: str) -> tuple[Task, Model[Any, Any]]:
    """As `Request.open_model`; errors about the name have `param`."""
    try:
        return request.open_model(name, task)
    except BadRequest as error:
        raise with_param(error, "model") from None


def with_param(error: BadRequest, param: str) -> BadRequest:
    """The same error, about the field `param`."""
    return type(error)(error.message, retry_after=error.retry_after, param=param)


@contextmanager
def renamed_fields(names: Mapping[str, str]) -> Iterator[None]:
    """Rename fields in errors of the block: `names` maps the task's names to OpenAI's."""
    try:
        yield
    except BadRequest as error:
        param = error.param and error.param.removeprefix("parameters.")
        message = error.message.replace("`parameters.", "`")
        for task_name, openai_name in names.items():
            message = message.replace(f"`{task_name}`", f"`{openai_name}`")
        raise type(error)(message, retry_after=error.retry_after, param=names.get(param or "", param)) from None
