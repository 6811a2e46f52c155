"""The native dialect: Hugging Face task payloads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from hearth import __version__
from hearth.async_inference import uploads
from hearth.errors import BadRequest, HearthError, Unavailable
from hearth.models.cache import manifest_of, warm
from hearth.models.manifest import Manifest
from hearth.protocols import uploads as files
from hearth.protocols.base import EVENTS, Answer, Call, Dialect, Route, event
from hearth.tasks.payload import read, read_object
from hearth.tasks.task import Task
from hearth.telemetry import timing


class Failure(msgspec.Struct, frozen=True):
    error: str
    error_type: str
    request_id: str


class Summary(msgspec.Struct, frozen=True):
    name: str
    task: str
    version: str
    description: str
    licence: str
    size: int
    """Bytes."""
    metrics: dict[str, float]
    """Of the served form, on data that it was not trained on."""


class Catalogue(msgspec.Struct, frozen=True):
    models: list[Summary]


class Info(msgspec.Struct, frozen=True):
    """What `get_endpoint_info` of Hugging Face's client reads."""

    model_id: str
    model_version: str
    model_task: str
    licence: str
    version: str


def error(failure: HearthError, request_id: str) -> bytes:
    return msgspec.json.encode(Failure(failure.message, failure.code, request_id))


def ask(call: Call) -> Answer:
    name = call.path["name"]
    task = call.task(name, call.path.get("task", ""))
    try:
        with timing.step("read"):
            named = uploads.named(call.body)
            if named:
                request = read_object(task, uploads.read(named[0], name), named[1])
            else:
                request = read(task, call.body, call.query)
        if task.stream and request.stream:
            return Answer(_events(task, name, request), EVENTS)
        response = task.predict(name, request)
    except HearthError as failure:
        if task.stream:
            _type(failure)
        raise
    with timing.step("write"):
        return Answer(msgspec.json.encode(response))


def _type(failure: HearthError) -> None:
    """The words by which Hugging Face's client chooses its exceptions about generated text."""
    if isinstance(failure, BadRequest):
        failure.code = "validation"
    elif isinstance(failure, Unavailable):
        failure.code = "overloaded"


def _events(task: Task, name: str, request: Any) -> Iterator[bytes]:
    """An event a token; the last one has the whole text."""
    assert task.stream is not None  # noqa: S101
    facts, text = timing.current().facts, ""
    try:
        for index, piece in enumerate(task.stream(name, request), 1):
            text += piece.text
            token = {"id": piece.token, "text": piece.text, "logprob": piece.logprob, "special": piece.special}
            document: dict[str, Any] = {"index": index, "token": token, "generated_text": None, "details": None}
            if request.parameters.top_n_tokens:
                document["top_tokens"] = [
                    {"id": token, "text": text, "logprob": logprob, "special": False}
                    for token, text, logprob in piece.top
                ]
            if piece.finish:
                document["generated_text"] = text
                document["details"] = {
                    "finish_reason": piece.finish,
                    "generated_tokens": index,
                    "seed": facts["seed"],
                    "input_length": facts["input_tokens"],
                }
            yield event(msgspec.json.encode(document))
    except HearthError as failure:
        _type(failure)
        raise


def models(call: Call) -> Answer:
    return Answer(msgspec.json.encode(Catalogue([_summary(name) for name in warm().registry.models()])))


def _summary(name: str) -> Summary:
    manifest = manifest_of(name)
    return Summary(
        name,
        manifest.task,
        manifest.version,
        manifest.description,
        manifest.licence,
        manifest.size,
        manifest.metrics.served,
    )


def model(call: Call) -> Answer:
    return Answer(msgspec.json.encode(manifest_of(call.path["name"])))


def info(call: Call) -> Answer:
    manifest = manifest_of(call.path["name"])
    return Answer(
        msgspec.json.encode(Info(manifest.model, manifest.version, manifest.task, manifest.licence, __version__))
    )


def health(call: Call) -> Answer:
    manifest_of(call.path["name"])
    return Answer(b'{"status":"ok"}')


OTHER = ("application/octet-stream",)
DIALECT = Dialect(
    name="huggingface",
    prefixes=("/",),
    routes=(
        Route("POST", "/models/{name}", ask, "Ask a model", Any, Any, OTHER, (EVENTS,)),
        Route("POST", "/pipeline/{task}/{name}", ask, "Ask a model for a task", Any, Any, OTHER, (EVENTS,)),
        Route("GET", "/models", models, "What is served", gives=Catalogue),
        Route("GET", "/models/{name}", model, "A model's manifest", gives=Manifest),
        Route("GET", "/models/{name}/info", info, "What a model is, in short", gives=Info),
        Route("GET", "/models/{name}/health", health, "Whether a model is there", gives=dict[str, str]),
        *files.ROUTES,
    ),
    error=error,
    failure=Failure,
)
