"""What all of OpenAI's routes have in common: error bodies, identifiers, refusals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from hearth.protocols.base import Call
from hearth.tasks.task import Task

T = TypeVar("T")
NAMES = {
    "inputs": "prompt",
    "max_new_tokens": "max_tokens",
    "top_n_tokens": "logprobs",
}
"""What the tasks call otherwise."""


class Reason(msgspec.Struct, frozen=True):
    message: str
    type: str
    param: str | None
    code: str | None


class Failure(msgspec.Struct, frozen=True):
    error: Reason


def error(failure: HearthError, request_id: str) -> bytes:
    kind, code = "server_error", failure.code
    if isinstance(failure, BadRequest):
        kind, code = "invalid_request_error", failure.code if failure.code != "bad_request" else "invalid_value"
    if isinstance(failure, NotFound):
        code = "model_not_found" if failure.param == "model" else "not_found"
    if isinstance(failure, Forbidden):
        kind = "permission_error"
    if isinstance(failure, Unauthorized):
        code = "invalid_api_key"
    if isinstance(failure, TooManyRequests):
        kind, code = "rate_limit_error", "rate_limit_exceeded"
    if isinstance(failure, PayloadTooLarge) and "tokens" in failure.message:
        code = "context_length_exceeded"
    return msgspec.json.encode(Failure(Reason(failure.message, kind, failure.param, code)))


def headers(failure: HearthError) -> Mapping[str, str]:
    """Whether OpenAI's client should try again: its own rule would do so after each 5xx."""
    return {"x-should-retry": "true" if isinstance(failure, (Unavailable, TooManyRequests)) else "false"}


def read(call: Call, kind: type[T], refused: Mapping[str, Sequence[Any]]) -> T:
    """The body as `kind`. Fields of `refused` are what no model here can do: only the values beside them may be sent.

    Raises BadRequest with `param`.
    """
    document = strict_json.loads(call.body)
    if isinstance(document, dict):
        for name in refused.keys() & document.keys():
            if document[name] is not None and document[name] not in refused[name]:
                raise BadRequest(f"No model here supports this value of `{name}`; leave it out", param=name)
        document = {name: value for name, value in document.items() if name not in refused and value is not None}
    return strict_json.convert(document, kind)


def task(call: Call, name: str, wanted: str) -> Task:
    """Raises NotFound with `param`."""
    try:
        return call.task(name, wanted)
    except (NotFound, BadRequest) as failure:
        failure.param = "model"
        raise


def reworded(failure: HearthError) -> HearthError:
    """With the words of this dialect in the place of the tasks' own."""
    if failure.param:
        failure.param = failure.param.removeprefix("parameters.")
        failure.param = NAMES.get(failure.param, failure.param)
    for theirs, ours in NAMES.items():
        failure.message = failure.message.replace(f"`{theirs}`", f"`{ours}`")
    return failure
