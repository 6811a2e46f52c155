"""POST …/infer of a whole task: texts and files as inputs of the task's `predict`."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec

from hearth import strict_json
from hearth.errors import BadRequest
from hearth.models.model import Model
from hearth.protocols.base import Request, Response
from hearth.protocols.open_inference.codecs import JsonCodec, check_batch
from hearth.protocols.open_inference.request import parse, split_body
from hearth.protocols.open_inference.response import AvailableOutput, encode_response
from hearth.protocols.open_inference.signatures import EXPLANATION, RESPONSE, codec_of, task_signature
from hearth.protocols.open_inference.target import Target
from hearth.protocols.open_inference.tensors import bytes_array
from hearth.tasks.schema import Explained, Explanation
from hearth.tasks.task import Task, Usage
from hearth.telemetry.timing import step


def infer(request: Request, target: Target, *, explain: bool = False) -> Response:
    with step("read"):
        split = split_body(request.body, request.headers)
    task, model = request.open_model(target.resolved, split.task or request.query.get("task", ""))
    codec, manifest = codec_of(task.id), model.manifest
    with step("read"):
        inputs, outputs = task_signature(manifest, task.id)
        explain = explain or split.explain
        names = [output.name for output in outputs] + [EXPLANATION] * explain
        parsed = parse(split, inputs, names)
        columns = codec.read(manifest, parsed.tensors)
        check_batch(manifest, len(next(iter(columns.values()))))
    parameters = {"explain": True} | parsed.parameters if explain else parsed.parameters
    items, rows, labels, usage, explanations = predict(codec, task, model, columns, parameters)
    with step("write"):
        available = {RESPONSE: AvailableOutput("BYTES", lambda: bytes_array(list(map(msgspec.json.encode, items))))}
        if explain:
            available[EXPLANATION] = AvailableOutput(
                "BYTES", lambda: bytes_array(list(map(msgspec.json.encode, explanations)))
            )
        for output in codec.outputs(manifest):
            available[output.name] = AvailableOutput(
                output.datatype,
                lambda name=output.name: codec.to_array(name, rows, labels),  # type: ignore[misc]
                labels,
            )
        return encode_response(parsed, request.headers, target.shown_name, manifest.version, available, usage)


def predict(
    codec: JsonCodec,
    task: Task,
    model: Model[Any, Any],
    columns: dict[str, list[Any]],
    parameters: dict[str, Any],
) -> tuple[list[Any], list[Any], Any, Usage, list[Explanation]]:
    """The responses of all items, the values for the typed outputs, the labels, the usage, and the explanations."""
    items: list[Any] = []
    explanations: list[Explanation] = []
    rows: list[Any] = []
    labels: Any = ()
    usage = Usage(items=0)
    for document in codec.documents(columns, parameters):
        payload = convert(document, task)
        prediction = task.predict(model, codec.with_all_scores(payload, model.manifest))
        usage.add(prediction.usage)
        output = prediction.output
        if isinstance(output, Explained):
            explanations.append(output.explanation)
            output = output.predictions
        predicted = codec.items(payload, output)
        rows += predicted
        items += codec.as_requested(payload, predicted)
        labels = codec.labels(model.manifest, payload)
    return items, rows, labels, usage, explanations


def convert(document: dict[str, Any], task: Task) -> Any:
    """Convert a document to the task's request. The protocol's parameters cannot be lists or objects, so JSON texts
    are accepted for them: a text that does not fit is parsed as JSON. Raises BadRequest."""
    try:
        return strict_json.convert(document, task.request)
    except BadRequest:
        parsed = {}
        for name, value in document["parameters"].items():
            if isinstance(value, str) and value[:1] in ("[", "{"):
                with suppress(BadRequest):
                    parsed[name] = strict_json.loads(value.encode())
        if not parsed:
            raise
        return strict_json.convert({**document, "parameters": document["parameters"] | parsed}, task.request)
