"""POST …/infer of a whole pipeline: texts and files in, through the task's own `predict`."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec

from hearth import strict_json
from hearth.errors import BadRequest
from hearth.models.cache import warm
from hearth.models.manifest import Manifest
from hearth.models.registry import Ref
from hearth.protocols.base import Answer, Call
from hearth.protocols.open_inference.codecs import View, within
from hearth.protocols.open_inference.request import Asked, Tensor, decoded, open_body, read
from hearth.protocols.open_inference.response import Made, write
from hearth.protocols.open_inference.signatures import RESPONSE, VIEWS, signature
from hearth.protocols.open_inference.target import Target
from hearth.protocols.open_inference.tensors import bytes_array
from hearth.strict_json import told
from hearth.tasks.task import Task
from hearth.telemetry import timing


def infer(call: Call, target: Target) -> Answer:
    with timing.step("read"):
        opened = open_body(call.body, call.headers)
        task = call.task(target.name, opened.task or call.query.get("task", ""))
        view = VIEWS[task.id]
        inputs, outputs = signature(target.manifest, task.id)
        asked = read(opened, inputs, [spec.name for spec in outputs])
        columns = columns_of(view, asked)
        within(target.manifest, len(columns[view.inputs[0]]))
    items, rows, labels = answer(view, task, target, columns, asked.parameters)
    manifest = served(target.manifest)
    timing.current().facts["items"] = len(items)
    with timing.step("write"):
        made = {RESPONSE: Made("BYTES", lambda: bytes_array([msgspec.json.encode(item) for item in items]))}
        for spec in view.outputs(manifest):
            made[spec.name] = Made(spec.datatype, lambda name=spec.name: view.typed(name, rows, labels), labels)  # type: ignore[misc]
        return write(asked, call.headers, target.shown, manifest.version, made)


def answer(
    view: View, task: Task, target: Target, columns: dict[str, list[Any]], parameters: dict[str, Any]
) -> tuple[list[Any], list[Any], Any]:
    """The native answer of each item, what the typed outputs are made of, and the labels."""
    items: list[Any] = []
    rows: list[Any] = []
    labels: Any = ()
    for document in view.documents(columns, parameters):
        request = convert(document, task)
        response = task.predict(target.name, view.widened(request, target.manifest))
        found = view.items(request, response)
        rows += found
        items += view.narrowed(request, found)
        labels = view.labels(served(target.manifest), request)
    return items, rows, labels


def convert(document: dict[str, Any], task: Task) -> Any:
    """The task's request. Lists and objects among the parameters are told as JSON texts, since the protocol's
    parameters have none: where a text is refused, it is read as such. Raises BadRequest."""
    try:
        return strict_json.convert(document, task.request)
    except BadRequest:
        texts = {}
        for name, value in document["parameters"].items():
            if isinstance(value, str) and value[:1] in ("[", "{"):
                with suppress(BadRequest):
                    texts[name] = strict_json.loads(value.encode())
        if not texts:
            raise
        return strict_json.convert({**document, "parameters": document["parameters"] | texts}, task.request)


def served(manifest: Manifest) -> Manifest:
    """Of the version that answered: where a new one cannot be loaded, the former one goes on."""
    facts = timing.current().facts
    if facts.get("version") in (None, manifest.version):
        return manifest
    return warm().registry.manifest(Ref(manifest.model, str(facts["version"])))


def columns_of(view: View, asked: Asked) -> dict[str, list[Any]]:
    """The items of each input. Raises BadRequest."""
    for name in asked.tensors:
        if name not in view.inputs:
            raise BadRequest(f"There is no input {told(name)}; there is: {', '.join(view.inputs)}")
    columns = {}
    for name in view.inputs:
        if name not in asked.tensors:
            raise BadRequest(f"The input {name!r} is missing: a BYTES tensor with one element an item")
        columns[name] = items_of(name, asked.tensors[name], binary=view.binary)
    counts = {name: len(items) for name, items in columns.items()}
    if len(set(counts.values())) > 1:
        raise BadRequest(f"The inputs must have as many elements as each other, not {counts}")
    return columns


def items_of(name: str, tensor: Tensor, *, binary: bool) -> list[Any]:
    """Texts, or files: those that came as JSON strings are base64. Raises BadRequest."""
    shape = tensor.array.shape
    if tensor.datatype != "BYTES" or len(shape) not in (1, 2) or shape[1:] not in ((), (1,)):
        raise BadRequest(f"Input {name!r} must be BYTES of shape [n] or [n, 1], not {tensor.datatype} {list(shape)}")
    if not tensor.array.size:
        raise BadRequest(f"Input {name!r} is empty; send at least one element")
    elements: list[bytes] = tensor.array.ravel().tolist()
    if not binary:
        try:
            return [element.decode() for element in elements]
        except UnicodeDecodeError:
            raise BadRequest(f"Input {name!r} must be text in UTF-8") from None
    if tensor.content_type == "str":
        raise BadRequest(f"Input {name!r} is a file, no text; send its bytes, or base64 in JSON")
    if tensor.binary or tensor.content_type == "base64":
        return elements
    return decoded(name, tensor.array).ravel().tolist()
