"""Shared by OpenAI's routes: error bodies, refused fields, the model of a request."""

from __future__ import annotations

import copy
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
    TextTooLong,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from hearth.models.heads import Decoder
from hearth.models.model import Model
from hearth.protocols.base import Request
from hearth.tasks.payload import known_fields
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
    return msgspec.json.encode(OpenAIError(OpenAIErrorDetail(error.message, kind, error.param, code)))


def error_headers(error: HearthError) -> Mapping[str, str]:
    """Tell OpenAI's client whether to retry; by default it retries after any 5xx."""
    return {"x-should-retry": "true" if isinstance(error, (Unavailable, TooManyRequests)) else "false"}


def read(
    request: Request, schema: type[T], refused: Mapping[str, Sequence[Any]], names: Mapping[str, str] | None = None
) -> T:
    """Decode the body as `schema`, without unknown fields. No model here supports the fields in `refused`, which would
    change the answer, so they may only have the values listed there; `names` has fields of another route, and what they
    are in this one. Raises BadRequest with `param`."""
    document = strict_json.loads(request.body)
    if isinstance(document, dict):
        for name, own_name in (names or {}).items():
            if document.get(name) is not None:
                raise BadRequest(f"`{name}` is `{own_name}` in this request; send that", param=name)
        for name in refused.keys() & document.keys():
            if document[name] is not None and document[name] not in refused[name]:
                raise BadRequest(f"No model here supports this value of `{name}`; leave it out", param=name)
        document = {name: value for name, value in document.items() if name not in refused and value is not None}
        fields = schema.__struct_fields__  # type: ignore[attr-defined]
        if document.keys() - set(fields):
            document = known_fields(document, fields)
    return strict_json.convert(document, schema)


class ContextLengthExceeded(BadRequest):
    """A TextTooLong with the status, the code and the wording for which OpenAI's client libraries look."""

    code = "context_length_exceeded"


@contextmanager
def context_length_errors(model: Model[Any, Any], field: str) -> Iterator[None]:
    """Raise ContextLengthExceeded about `field` for a TextTooLong of the block."""
    try:
        yield
    except TextTooLong as error:
        raise ContextLengthExceeded(_context_length_message(error, context_length(model), field), param=field) from None


def context_length(model: Model[Any, Any]) -> int:
    """The number of tokens that a model of text reads."""
    return model.head.context if isinstance(model.head, Decoder) else int(model.preprocessing.max_tokens)


def _context_length_message(error: TextTooLong, context: int, field: str) -> str:
    limit = f"This model's maximum context length is {context} tokens"
    tokens, new = error.tokens, error.new_tokens
    if not tokens:
        return f"{limit}. However, your {field} resulted in more: {error.message}. Please reduce its length."
    if field != "messages":
        return (
            f"{limit}, however you requested {tokens + new} tokens ({tokens} in your prompt; {new} for the "
            "completion). Please reduce your prompt; or completion length."
        )
    if not new:
        return f"{limit}. However, your messages resulted in {tokens} tokens. Please reduce the length of the messages."
    return (
        f"{limit}. However, you requested {tokens + new} tokens ({tokens} in the messages, {new} in the completion). "
        "Please reduce the length of the messages or completion."
    )


def open_model(request: Request, name: str, task: str) -> tuple[Task, Model[Any, Any]]:
    """As `Request.open_model`; errors about the name have `param`."""
    try:
        return request.open_model(name, task)
    except BadRequest as error:
        raise with_param(error, "model") from None


def with_param(error: BadRequest, param: str) -> BadRequest:
    """The same error, about the field `param`."""
    about = copy.copy(error)
    about.param = param
    return about


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
        renamed = copy.copy(error)
        renamed.message, renamed.param = message, names.get(param or "", param)
        raise renamed from None
