"""The SageMaker runtime: native payloads below /endpoints, and a container's /invocations and /ping."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from hearth.errors import BadRequest, HearthError, OutOfScope, TooManyRequests, Unauthorized, Unavailable
from hearth.models.cache import manifest_of, warm
from hearth.protocols import huggingface
from hearth.protocols.base import EVENTS, Answer, Call, Dialect, Route

MODEL, VARIANT = "x-amzn-sagemaker-target-model", "x-amzn-sagemaker-target-variant"
INVOKED = "x-Amzn-Invoked-Production-Variant"


class Failure(msgspec.Struct, frozen=True, rename={"kind": "__type"}):
    """What the AWS SDKs read."""

    kind: str
    message: str


def error(failure: HearthError, request_id: str) -> bytes:
    kind = "InternalFailure"
    if isinstance(failure, TooManyRequests):
        kind = "ThrottlingException"
    elif isinstance(failure, (Unauthorized, OutOfScope)):
        kind = "AccessDeniedException"
    elif isinstance(failure, BadRequest):
        kind = "ValidationError"
    elif isinstance(failure, Unavailable):
        kind = "ServiceUnavailable"
    return msgspec.json.encode(Failure(kind, failure.message))


def endpoint(call: Call) -> Answer:
    """The model that the endpoint is called as, or TargetModel; TargetVariant is a version or an alias of it."""
    name = call.headers.get(MODEL) or call.path["name"]
    variant = call.headers.get(VARIANT)
    return _invoke(call, f"{name}@{variant}" if variant else name)


def container(call: Call) -> Answer:
    """TargetModel, or the one model that is served."""
    name = call.headers.get(MODEL)
    if not name:
        served = warm().registry.models()
        if len(served) != 1:
            raise BadRequest(
                f"{len(served)} models are served here: name one in the header X-Amzn-SageMaker-Target-Model, or ask "
                "/endpoints/{name}/invocations"
            )
        name = served[0]
    return _invoke(call, name)


def _invoke(call: Call, name: str) -> Answer:
    answer = huggingface.ask(replace(call, path={"name": name}))
    return replace(answer, headers={**answer.headers, INVOKED: manifest_of(name).version})


def ping(call: Call) -> Answer:
    return Answer(b"{}")


BINARY = ("application/octet-stream",)
DIALECT = Dialect(
    name="sagemaker",
    prefixes=("/endpoints", "/invocations", "/ping"),
    routes=(
        Route("POST", "/endpoints/{name}/invocations", endpoint, "Ask a model", Any, Any, BINARY, (EVENTS,)),
        Route("POST", "/invocations", container, "Ask the model that is served", Any, Any, BINARY, (EVENTS,)),
        Route("GET", "/ping", ping, "Whether the process answers", gives=dict[str, str], open=True),
    ),
    error=error,
    failure=Failure,
)
