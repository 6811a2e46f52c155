"""POST …/generate and …/generate_stream: text generation."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from hearth import strict_json
from hearth.errors import BadRequest, NotFound
from hearth.models.model import Model
from hearth.protocols.base import EVENT_STREAM, Request, Response, server_sent_event
from hearth.protocols.open_inference.schema import GenerateRequest, GenerateResponse
from hearth.protocols.open_inference.target import Target, find_target
from hearth.protocols.open_inference.task_inference import convert
from hearth.strict_json import safe_name
from hearth.tasks.task import Task
from hearth.telemetry.timing import step

if TYPE_CHECKING:
    from hearth.tasks.generation import Generation

PARAMETER_NAMES = {"max_tokens": "max_new_tokens"}
"""Parameter names of Triton's backends -> the task's names."""


def generate(request: Request) -> Response:
    target, task, model = _open(request)
    document, payload = _read(request, task, stream=False)
    prediction = task.predict(model, payload)
    (text,) = prediction.output
    response = _response(target, model, document, text.generated_text)
    return Response(msgspec.json.encode(response), usage=prediction.usage)


def generate_stream(request: Request) -> Response:
    target, task, model = _open(request)
    document, payload = _read(request, task, stream=True)
    generation = task.generate(model, payload)
    template = _response(target, model, document, "")
    return Response(_events(template, generation), EVENT_STREAM, usage=generation.usage)


def _open(request: Request) -> tuple[Target, Task, Model[Any, Any]]:
    """Open the model. Raises NotFound if it does not generate texts, and what opening it raises."""
    target = find_target(request)
    if target.role or target.resolved.manifest.task != "text-generation":
        name = target.shown_name
        raise NotFound(f"{name} does not generate texts; use POST /v2/models/{name}/infer")
    return target, *request.open_model(target.resolved)


def _read(request: Request, task: Task, *, stream: bool) -> tuple[GenerateRequest, Any]:
    """The document, with an id, and the task's request. Raises BadRequest."""
    with step("read"):
        raw = strict_json.loads(request.body) if request.body else {}
        document = strict_json.convert(raw, GenerateRequest)
        parameters = dict(document.parameters)
        for name in raw.keys() - {"text_input", "id", "parameters"}:  # as Triton's backends accept them
            if name in parameters:
                raise BadRequest(f"{safe_name(name)} occurs twice: beside `parameters` and in it")
            parameters[name] = raw[name]
        if parameters.pop("stream", stream) is not stream:
            raise BadRequest("`stream` must match the path: …/generate_stream streams, …/generate does not")
        for triton_name, task_name in PARAMETER_NAMES.items():
            if triton_name in parameters and task_name not in parameters:
                parameters[task_name] = parameters.pop(triton_name)
        payload = convert({"inputs": document.text_input, "parameters": parameters}, task)
    return msgspec.structs.replace(document, id=document.id or str(uuid.uuid4())), payload


def _response(target: Target, model: Model[Any, Any], document: GenerateRequest, text: str) -> GenerateResponse:
    return GenerateResponse(document.id, target.shown_name, model.manifest.version, text)


def _events(template: GenerateResponse, generation: Generation) -> Iterator[bytes]:
    """One event per piece of text; tokens that complete no character have no event."""
    for piece in generation:
        if piece.text or piece.finish:
            response = msgspec.structs.replace(template, text_output=piece.text, done=piece.finish is not None)
            yield server_sent_event(msgspec.json.encode(response))
