"""A task's request from a body or from an uploaded object."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hearth import strict_json
from hearth.errors import BadRequest
from hearth.tasks.task import Task
from hearth.telemetry import audit


def read(task: Task, body: bytes, query: Mapping[str, str]) -> Any:
    """The task's request from a body: JSON with `inputs` and `parameters`, or for binary tasks the bytes themselves.

    What a body is, its first byte says: clients send raw pictures with any content type or none (wire.md 2c).
    Raises BadRequest.
    """
    if not body:
        raise BadRequest('The body is empty; send {"inputs": …}' + (" or the bytes themselves" * task.binary))
    if task.binary and body.lstrip()[:1] != b"{":
        parameters = {key: _value(text) for key, text in query.items()}
        return strict_json.convert({"inputs": body, "parameters": parameters}, task.request)
    if query:
        raise BadRequest("With a JSON body, parameters go into `parameters`, not into the query string")
    return strict_json.convert(strict_json.loads(body), task.request)


def read_object(task: Task, data: bytes, more: Mapping[str, Any] | None = None) -> Any:
    """The task's request from an uploaded object: JSON as a body has it, else the input itself, for tasks that read
    text in UTF-8. Fields of `more` take the place of its own. Raises BadRequest."""
    audit.seen(data)
    if data.lstrip()[:1] == b"{":
        document = strict_json.loads(data)
    elif task.binary:
        document = {"inputs": data}
    else:
        try:
            document = {"inputs": data.decode("utf-8")}
        except UnicodeDecodeError:
            raise BadRequest("The object must be text in UTF-8, or JSON with `inputs`") from None
    return strict_json.convert(document | (more or {}), task.request)


def _value(text: str) -> Any:
    if re.fullmatch(r"\d{1,9}", text, re.ASCII):
        return int(text)
    if re.fullmatch(r"-?\d{1,9}(\.\d{1,17})?", text, re.ASCII):
        return float(text)
    return {"true": True, "false": False}.get(text, text)
