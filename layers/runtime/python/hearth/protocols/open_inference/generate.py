"""POST …/generate and …/generate_stream: a text goes on."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import msgspec

from hearth import strict_json
from hearth.errors import BadRequest, NotFound
from hearth.protocols.base import EVENTS, Answer, Call, event
from hearth.protocols.open_inference.schema import Generated, GenerateRequest
from hearth.protocols.open_inference.target import Target, target
from hearth.protocols.open_inference.task_inference import convert, served
from hearth.strict_json import told
from hearth.tasks.task import Task
from hearth.telemetry import timing

NAMES = {"max_tokens": "max_new_tokens"}
"""What Triton's backends call otherwise."""


def generate(call: Call) -> Answer:
    wanted, task, asked, request = _read(call, stream=False)
    (found,) = task.predict(wanted.name, request)
    return Answer(msgspec.json.encode(_answer(wanted, asked, found.generated_text)))


def generate_stream(call: Call) -> Answer:
    wanted, task, asked, request = _read(call, stream=True)
    return Answer(_events(wanted, task, asked, request), EVENTS)


def _read(call: Call, *, stream: bool) -> tuple[Target, Task, GenerateRequest, Any]:
    """Raises BadRequest, NotFound."""
    wanted = target(call)
    if wanted.role or wanted.manifest.task != "text-generation":
        raise NotFound(f"{wanted.shown} does not go on with texts; POST /v2/models/{wanted.shown}/infer")
    task = call.task(wanted.name)
    with timing.step("read"):
        document = strict_json.loads(call.body) if call.body else {}
        asked = strict_json.convert(document, GenerateRequest)
        parameters = dict(asked.parameters)
        for name in document.keys() - {"text_input", "id", "parameters"}:  # Triton's backends take them beside the text
            if name in parameters:
                raise BadRequest(f"{told(name)} is there twice: once beside `parameters`, once within")
            parameters[name] = document[name]
        if parameters.pop("stream", stream) is not stream:
            raise BadRequest("`stream`: a stream comes from …/generate_stream, a whole text from …/generate")
        for theirs, ours in NAMES.items():
            if theirs in parameters and ours not in parameters:
                parameters[ours] = parameters.pop(theirs)
        request = convert({"inputs": asked.text_input, "parameters": parameters}, task)
    return wanted, task, msgspec.structs.replace(asked, id=asked.id or str(uuid.uuid4())), request


def _answer(wanted: Target, asked: GenerateRequest, text: str) -> Generated:
    return Generated(asked.id, wanted.shown, served(wanted.manifest).version, text)


def _events(wanted: Target, task: Task, asked: GenerateRequest, request: Any) -> Iterator[bytes]:
    """An event a piece of text; tokens that complete no character make none."""
    assert task.stream is not None  # noqa: S101
    for piece in task.stream(wanted.name, request):
        if piece.text or piece.finish:
            answer = _answer(wanted, asked, piece.text)
            yield event(msgspec.json.encode(msgspec.structs.replace(answer, done=piece.finish is not None)))
