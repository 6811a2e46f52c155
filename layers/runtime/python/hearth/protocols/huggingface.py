"""Hugging Face's task payloads: the protocol of Hearth's own routes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from hearth import __version__
from hearth.async_inference import uploads
from hearth.auth.api_keys import current_tenant
from hearth.errors import BadRequest, HearthError, Unavailable
from hearth.models.cache import warm_cache
from hearth.models.manifest import Manifest
from hearth.models.model import Model
from hearth.protocols import form
from hearth.protocols.base import (
    BINARY,
    EVENT_STREAM,
    Protocol,
    Request,
    Response,
    Route,
    named_model,
    server_sent_event,
)
from hearth.protocols.feedback import ROUTES as FEEDBACK_ROUTES
from hearth.protocols.model_card import ROUTES as CARD_ROUTES
from hearth.protocols.uploads import ROUTES as UPLOAD_ROUTES
from hearth.tasks.payload import read_body, read_form, read_object
from hearth.tasks.schema import Explained
from hearth.tasks.task import Task, with_explanation
from hearth.telemetry import statistics
from hearth.telemetry.timing import step

if TYPE_CHECKING:
    from hearth.tasks.generation import Generation


MAX_MODELS = 1000
"""Models of one page of the list."""


class Error(msgspec.Struct, frozen=True):
    error: str
    error_type: str
    request_id: str


class InferRequest(msgspec.Struct, frozen=True):
    """A request to a model whose task is not known beforehand, for the documentation."""

    inputs: Any
    parameters: dict[str, Any] = {}


class ModelSummary(msgspec.Struct, frozen=True):
    name: str
    task: str
    version: str
    description: str
    licence: str
    size: int
    """Bytes."""
    metrics: dict[str, float]
    """Metrics of the served graph on held-out data."""


class UnavailableModel(msgspec.Struct, frozen=True):
    """A model of the store that cannot be served."""

    name: str
    error: str
    error_type: str


class ModelList(msgspec.Struct, frozen=True, omit_defaults=True):
    models: list[ModelSummary]
    """In the order of their names."""
    unavailable: list[UnavailableModel] = []
    next: str = ""
    """If further models follow: the value of `after` that lists them."""


class EndpointInfo(msgspec.Struct, frozen=True):
    """The response for `get_endpoint_info` of Hugging Face's client."""

    model_id: str
    model_version: str
    model_task: str
    licence: str
    version: str


def encode_error(error: HearthError, request_id: str) -> bytes:
    return msgspec.json.encode(Error(error.message, error.code, request_id))


def infer(request: Request) -> Response:
    task, model = request.open_model(request.path_params["name"], request.path_params.get("task", ""))
    return run_task(request, task, model)


def explain(request: Request) -> Response:
    task, model = request.open_model(request.path_params["name"])
    return run_task(request, task, model, explain=True)


def run_task(request: Request, task: Task, model: Model[Any, Any], *, explain: bool = False) -> Response:
    """Run a task with the model that was opened for the request, and explain the prediction if `explain`."""
    try:
        with step("read"):
            payload = _read(request, task, model)
            if explain:
                payload = with_explanation(task, payload)
        if task.stream and payload.stream:
            generation = task.generate(model, payload)
            top_tokens = bool(payload.parameters.top_n_tokens)
            return Response(_events(generation, top_tokens), EVENT_STREAM, usage=generation.usage)
        prediction = task.predict(model, payload)
    except HearthError as error:
        raise _generation_error(error) if task.stream else error from None
    with step("write"):
        return Response(msgspec.json.encode(prediction.output), usage=prediction.usage)


def _read(request: Request, task: Task, model: Model[Any, Any]) -> Any:
    """The task's request, from the body or from the upload that it names. Raises BadRequest, NotFound, StoreError."""
    if b'"upload"' in request.body and (reference := uploads.upload_reference(request.body)):
        upload_id, fields = reference
        return read_object(task, uploads.read(upload_id, model.manifest.model), fields)
    if form.is_form(request):
        fields, files = form.read_form(request)
        values = {name: texts[-1] for name, texts in fields.items()}
        return read_form(task, {**request.query, **values}, [file for _, file in files])
    return read_body(task, request.body, request.query)


class ValidationError(BadRequest):
    """A BadRequest of text generation, with the code for which Hugging Face's client has an exception."""

    code = "validation"


class OverloadedError(Unavailable):
    """An Unavailable of text generation, with the code for which Hugging Face's client has an exception."""

    code = "overloaded"


def _generation_error(error: HearthError) -> HearthError:
    """The error with the code that Hugging Face's client expects of text generation services."""
    if isinstance(error, BadRequest):
        converted: HearthError = ValidationError(error.message, retry_after=error.retry_after, param=error.param)
    elif isinstance(error, Unavailable):
        converted = OverloadedError(error.message, retry_after=error.retry_after)
    else:
        return error
    converted.status = error.status
    return converted


def _events(generation: Generation, top_tokens: bool) -> Iterator[bytes]:
    """One event per token; the last one has the whole text."""
    usage, text = generation.usage, ""
    try:
        for index, piece in enumerate(generation, 1):
            text += piece.text
            token = {"id": piece.token, "text": piece.text, "logprob": piece.logprob, "special": piece.special}
            document: dict[str, Any] = {"index": index, "token": token, "generated_text": None, "details": None}
            if top_tokens:
                document["top_tokens"] = [
                    {"id": token, "text": text, "logprob": logprob, "special": False}
                    for token, text, logprob in piece.top
                ]
            if piece.finish:
                document["generated_text"] = generation.prefix + text
                document["details"] = {
                    "finish_reason": piece.finish,
                    "generated_tokens": index,
                    "seed": usage.seed,
                    "input_length": usage.input_tokens,
                }
            yield server_sent_event(msgspec.json.encode(document))
    except HearthError as error:
        raise _generation_error(error) from None


def list_models(request: Request) -> Response:
    limit = _read_limit(request.query.get("limit", ""))
    entries, failures, following = warm_cache().registry.catalog_page(request.query.get("after", ""), limit)
    models = [ModelSummary(name, **msgspec.structs.asdict(entry)) for name, entry in entries.items()]
    unavailable = [UnavailableModel(name, error.message, error.code) for name, error in failures.items()]
    return Response(msgspec.json.encode(ModelList(models, unavailable, following)))


def _read_limit(text: str) -> int:
    """The number of models of a page. Raises BadRequest."""
    if not text:
        return MAX_MODELS
    if text.isascii() and text.isdecimal() and 1 <= int(text[:10]) <= MAX_MODELS:
        return int(text)
    raise BadRequest(f"`limit` must be a number from 1 to {MAX_MODELS}", param="limit")


def _manifest(request: Request) -> Manifest:
    return warm_cache().resolve(request.path_params["name"]).manifest


def get_model(request: Request) -> Response:
    return Response(msgspec.json.encode(_manifest(request)))


def get_endpoint_info(request: Request) -> Response:
    manifest = _manifest(request)
    info = EndpointInfo(manifest.model, manifest.version, manifest.task, manifest.licence, __version__)
    return Response(msgspec.json.encode(info))


def check_model_health(request: Request) -> Response:
    _manifest(request)
    return Response(b'{"status":"ok"}')


def get_metrics(request: Request) -> Response:
    """The metrics of the caller's requests to this process."""
    from hearth.telemetry import prometheus, sketches  # only servers are asked for them

    tenant, cache = current_tenant(), warm_cache()
    drift: dict[tuple[str, str], dict[str, float]] = {}
    if not tenant:  # sketches have the requests of all tenants
        for ref in cache.loaded():
            reference = cache.registry.manifest(ref).reference
            if reference and (indices := sketches.drift(reference.counts, sketches.recent(ref.model, ref.version))):
                drift[ref.model, ref.version] = indices
    text = prometheus.render(statistics.records_of(tenant), len(cache.loaded()), drift)
    return Response(text.encode(), prometheus.MEDIA_TYPE)


_INFER_OPTIONS: dict[str, Any] = {
    "request_schema": InferRequest,
    "response_schema": Any,
    "request_media_types": (BINARY, form.MEDIA_TYPE),
    "response_media_types": (EVENT_STREAM,),
    "model_name": named_model,
}
PROTOCOL = Protocol(
    name="huggingface",
    title="Hugging Face",
    prefixes=("/",),
    routes=(
        Route("POST", "/models/{name}", infer, "infer", "Run inference with a model", **_INFER_OPTIONS),
        Route(
            "POST", "/pipeline/{task}/{name}", infer, "infer_task", "Run one of the tasks of a model", **_INFER_OPTIONS
        ),
        Route(
            "POST",
            "/models/{name}/explain",
            explain,
            "explain",
            "Run inference, and explain which parts of the input made the scores",
            **_INFER_OPTIONS | {"response_schema": Explained, "response_media_types": ()},
        ),
        Route(
            "GET",
            "/models",
            list_models,
            "list_models",
            "List the models",
            response_schema=ModelList,
            query_parameters={
                "limit": {"type": "integer", "minimum": 1, "maximum": MAX_MODELS, "default": MAX_MODELS},
                "after": {"type": "string", "description": "List the models after this name."},
            },
        ),
        Route("GET", "/models/{name}", get_model, "get_model", "Get the manifest of a model", response_schema=Manifest),
        Route(
            "GET",
            "/models/{name}/info",
            get_endpoint_info,
            "get_endpoint_info",
            "Get a short description of a model",
            response_schema=EndpointInfo,
        ),
        Route(
            "GET",
            "/models/{name}/health",
            check_model_health,
            "check_model_health",
            "Check that a model is available",
            response_schema=dict[str, str],
        ),
        Route(
            "GET",
            "/metrics",
            get_metrics,
            "get_metrics",
            "Get the metrics of this process in the text format of Prometheus",
            response_media_types=("text/plain",),
            is_immediate=True,
        ),
        *CARD_ROUTES,
        *FEEDBACK_ROUTES,
        *UPLOAD_ROUTES,
    ),
    encode_error=encode_error,
    error_schema=Error,
)
