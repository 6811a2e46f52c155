"""The native dialect: Hugging Face task payloads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from hearth import strict
from hearth.errors import BadRequest, HearthError
from hearth.task import Task


def read(task: Task, body: bytes, query: Mapping[str, str]) -> Any:
    """The task's request from a body: JSON with `inputs` and `parameters`, or for binary tasks the bytes themselves.

    What a body is, its first byte says: clients send raw pictures with any content type or none (wire.md 2c).
    Raises BadRequest.
    """
    if not body:
        raise BadRequest('The body is empty; send {"inputs": …}' + (" or the bytes themselves" * task.binary))
    if task.binary and body.lstrip()[:1] != b"{":
        parameters = {key: _value(text) for key, text in query.items()}
        return strict.convert({"inputs": body, "parameters": parameters}, task.request)
    if query:
        raise BadRequest("With a JSON body, parameters go into `parameters`, not into the query string")
    return strict.convert(strict.loads(body), task.request)


def _value(text: str) -> Any:
    if re.fullmatch(r"\d{1,9}", text, re.ASCII):
        return int(text)
    if re.fullmatch(r"-?\d{1,9}(\.\d{1,17})?", text, re.ASCII):
        return float(text)
    return {"true": True, "false": False}.get(text, text)


def write(response: Any) -> bytes:
    return msgspec.json.encode(response)


def error(failure: HearthError, request_id: str) -> bytes:
    return msgspec.json.encode({"error": failure.message, "error_type": failure.code, "request_id": request_id})
