"""Decodes a task's request from an HTTP body or from an uploaded object."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hearth import strict_json
from hearth.errors import BadRequest
from hearth.tasks.task import Task
from hearth.telemetry import audit


def read_body(task: Task, body: bytes, query: Mapping[str, str]) -> Any:
    """Decode a body: JSON with `inputs` and `parameters`, or for binary tasks the input itself.

    The first byte decides which, because clients send raw pictures with any content type or none. Raises BadRequest.
    """
    if not body:
        alternative = " or the bytes themselves" if task.row.binary else ""
        raise BadRequest(f'The body is empty; send {{"inputs": …}}{alternative}')
    if task.row.binary and body.lstrip()[:1] != b"{":
        parameters = {key: _parse_parameter(text) for key, text in query.items()}
        return strict_json.convert({"inputs": body, "parameters": parameters}, task.request)
    if query:
        raise BadRequest("With a JSON body, send parameters in `parameters`, not in the query string")
    return strict_json.convert(strict_json.loads(body), task.request)


def read_object(task: Task, data: bytes, fields: Mapping[str, Any] | None = None) -> Any:
    """Decode an uploaded object: JSON as in a body, or the input itself, which for text tasks is UTF-8. `fields`
    override those of the object. Raises BadRequest."""
    audit.record_input(data)
    if data.lstrip()[:1] == b"{":
        document = strict_json.loads(data)
    elif task.row.binary:
        document = {"inputs": data}
    else:
        try:
            document = {"inputs": data.decode("utf-8")}
        except UnicodeDecodeError:
            raise BadRequest("The object must be text in UTF-8, or JSON with `inputs`") from None
    return strict_json.convert(document | (fields or {}), task.request)


def _parse_parameter(text: str) -> Any:
    """Convert a parameter of a query string to a number, a boolean or a string."""
    if re.fullmatch(r"\d{1,9}", text, re.ASCII):
        return int(text)
    if re.fullmatch(r"-?\d{1,9}(\.\d{1,17})?", text, re.ASCII):
        return float(text)
    return {"true": True, "false": False}.get(text, text)
