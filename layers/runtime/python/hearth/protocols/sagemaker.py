"""SageMaker's runtime API: Hugging Face's payloads below /endpoints, and a container's /invocations and /ping."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from hearth.errors import BadRequest, HearthError, OutOfScope, TooManyRequests, Unauthorized, Unavailable
from hearth.models.cache import warm_cache
from hearth.protocols import huggingface
from hearth.protocols.base import BINARY, EVENT_STREAM, Protocol, Request, Response, Route, named_model

TARGET_MODEL, TARGET_VARIANT = "x-amzn-sagemaker-target-model", "x-amzn-sagemaker-target-variant"
INVOKED_VARIANT = "x-Amzn-Invoked-Production-Variant"


class SageMakerError(msgspec.Struct, frozen=True, rename={"type": "__type"}):
    """Error bodies as the AWS SDKs read them."""

    type: str
    message: str


def encode_error(error: HearthError, request_id: str) -> bytes:
    name = "InternalFailure"
    if isinstance(error, TooManyRequests):
        name = "ThrottlingException"
    elif isinstance(error, (Unauthorized, OutOfScope)):
        name = "AccessDeniedException"
    elif isinstance(error, BadRequest):
        name = "ValidationError"
    elif isinstance(error, Unavailable):
        name = "ServiceUnavailable"
    return msgspec.json.encode(SageMakerError(name, error.message))


def invoke_endpoint(request: Request) -> Response:
    """Invoke the endpoint's model or TargetModel; TargetVariant is a version or an alias of it."""
    name = request.headers.get(TARGET_MODEL) or request.path_params["name"]
    variant = request.headers.get(TARGET_VARIANT)
    return _invoke(request, f"{name}@{variant}" if variant else name)


def invoke_container(request: Request) -> Response:
    """Invoke TargetModel, or the only model that is served."""
    name = request.headers.get(TARGET_MODEL)
    if not name:
        served = warm_cache().registry.models()
        if len(served) != 1:
            raise BadRequest(
                f"{len(served)} models are served here: name one in the header X-Amzn-SageMaker-Target-Model, or use "
                "/endpoints/{name}/invocations"
            )
        name = served[0]
    return _invoke(request, name)


def _invoke(request: Request, name: str) -> Response:
    task, model = request.open_model(name)
    response = huggingface.run_task(request, task, model)
    return replace(response, headers={**response.headers, INVOKED_VARIANT: model.manifest.version})


def ping(request: Request) -> Response:
    return Response(b"{}")


_INVOKE_OPTIONS: dict[str, Any] = {
    "request_schema": huggingface.InferRequest,
    "response_schema": Any,
    "request_media_types": (BINARY,),
    "response_media_types": (EVENT_STREAM,),
}
PROTOCOL = Protocol(
    name="sagemaker",
    title="SageMaker",
    prefixes=("/endpoints", "/invocations", "/ping"),
    routes=(
        Route(
            "POST",
            "/endpoints/{name}/invocations",
            invoke_endpoint,
            "invoke_endpoint",
            "Invoke the endpoint of a model",
            model_name=named_model,
            **_INVOKE_OPTIONS,
        ),
        Route(
            "POST", "/invocations", invoke_container, "invoke_container", "Invoke the served model", **_INVOKE_OPTIONS
        ),
        Route(
            "GET",
            "/ping",
            ping,
            "ping",
            "Check that the server is alive",
            response_schema=dict[str, str],
            is_immediate=True,
            public=True,
        ),
    ),
    encode_error=encode_error,
    error_schema=SageMakerError,
)
