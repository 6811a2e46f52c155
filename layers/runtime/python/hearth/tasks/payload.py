"""Decodes a task's request from an HTTP body or from an uploaded object."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from hearth import strict_json
from hearth.errors import BadRequest
from hearth.tasks.task import Task
from hearth.telemetry import audit
from hearth.telemetry.log import logger

LIKE_A_FIELD = 0.75
"""Similarity of two names (difflib's ratio) from which one is taken for a misspelling of the other."""


def read_body(task: Task, body: bytes, query: Mapping[str, str]) -> Any:
    """Decode a body: JSON with `inputs` and `parameters`, or for binary tasks the input itself.

    The first byte decides which, because clients send raw pictures with any content type or none. Raises BadRequest.
    """
    if not body:
        alternative = " or the bytes themselves" if task.row.binary else ""
        raise BadRequest(f'The body is empty; send {{"inputs": …}}{alternative}')
    if task.row.binary and not strict_json.is_object(body):
        parameters = {key: parse_parameter(text) for key, text in query.items()}
        return strict_json.convert({"inputs": body, "parameters": parameters}, task.request)
    if query:
        raise BadRequest("With a JSON body, send parameters in `parameters`, not in the query string")
    return to_request(task, strict_json.loads(body))


def read_object(task: Task, data: bytes, fields: Mapping[str, Any] | None = None) -> Any:
    """Decode an uploaded object: JSON as in a body, or the input itself, which for text tasks is UTF-8, or UTF-16 with
    a byte order mark. `fields` override those of the object. Raises BadRequest."""
    audit.record_input(data)
    if strict_json.is_object(data):
        document = strict_json.loads(data)
    elif task.row.binary:
        document = {"inputs": data}
    else:
        try:
            document = {"inputs": strict_json.decode_text(data)}
        except UnicodeDecodeError:
            raise BadRequest("The object must be text in UTF-8, or JSON with `inputs`") from None
    return to_request(task, document | (fields or {}))


def to_request(task: Task, document: Any) -> Any:
    """The task's request for a JSON document; files in it are base64. Raises BadRequest."""
    if isinstance(document, dict):
        document = _without_unknown_fields(task, document)
        if task.row.binary and "inputs" in document:
            document["inputs"] = _decode_files(document["inputs"])
    return strict_json.convert(document, task.request)


def _without_unknown_fields(task: Task, document: dict[str, Any]) -> dict[str, Any]:
    """The document without fields that the task does not know, unless they are meant to change the answer: a parameter
    in the wrong place, or a misspelt field. Raises BadRequest."""
    fields = {field.name: field.type for field in msgspec.structs.fields(task.request)}
    unknown = [name for name in document if name not in fields]
    if not unknown:
        return dict(document)
    from difflib import SequenceMatcher

    parameters = parameter_names(task)
    for name in unknown:
        if name in parameters:
            raise BadRequest(f"Send `{name}` in `parameters`", param=name)
        similar = [field for field in fields if SequenceMatcher(None, name[:64], field).ratio() >= LIKE_A_FIELD]
        if similar:
            raise BadRequest(f"There is no field {strict_json.safe_name(name)}; did you mean `{similar[0]}`?")
    logger().debug("unknown fields ignored", extra={"fields": [strict_json.safe_name(name) for name in unknown[:10]]})
    return {name: value for name, value in document.items() if name in fields}


def parameter_names(task: Task) -> set[str]:
    """The names of a task's parameters."""
    (parameters,) = (field.type for field in msgspec.structs.fields(task.request) if field.name == "parameters")
    structs = [parameters, *getattr(parameters, "__args__", ())]
    return {name for struct in structs for name in getattr(struct, "__struct_fields__", ())}


def _decode_files(inputs: Any) -> Any:
    if isinstance(inputs, str):
        return strict_json.decode_base64(inputs)
    if isinstance(inputs, list):
        return [strict_json.decode_base64(item) if isinstance(item, str) else item for item in inputs]
    return inputs


def parse_parameter(text: str) -> Any:
    """Convert a parameter of a query string or a form to a number, a boolean or a string."""
    if re.fullmatch(r"\d{1,9}", text, re.ASCII):
        return int(text)
    if re.fullmatch(r"-?\d{1,9}(\.\d{1,17})?", text, re.ASCII):
        return float(text)
    return {"true": True, "false": False}.get(text, text)
