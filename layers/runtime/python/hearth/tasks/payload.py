"""Decodes a task's request from an HTTP body or from an uploaded object."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from hearth import strict_json
from hearth.errors import BadRequest
from hearth.tasks.task import Task
from hearth.telemetry import audit
from hearth.telemetry.log import logger

LIKE_A_FIELD = 0.75
"""Similarity of two names (difflib's ratio) from which one is taken for a misspelling of the other."""
FIELD_NAME = re.compile(r"[a-z]+(?:_[a-z0-9]+)*")
MAX_NAMES = 20
"""Unknown fields that are compared with the known ones, and logged."""


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


def read_form(task: Task, fields: Mapping[str, str], files: Sequence[bytes]) -> Any:
    """Decode a form: `inputs` is a text or the files, `parameters` is JSON; other fields are parameters. Raises
    BadRequest."""
    parameters = {name: parse_parameter(text) for name, text in fields.items() if name not in ("inputs", "parameters")}
    if "parameters" in fields:
        given = strict_json.loads(fields["parameters"].encode())
        if not isinstance(given, dict):
            raise BadRequest("`parameters` must be a JSON object", param="parameters")
        parameters |= given
    if bool(files) == ("inputs" in fields):
        raise BadRequest("A form must have either a file or `inputs`")
    inputs = _texts_or_files(task, files) if files else fields["inputs"]
    return to_request(task, {"inputs": inputs[0] if len(files) == 1 else inputs, "parameters": parameters})


def _texts_or_files(task: Task, files: Sequence[bytes]) -> list[Any]:
    if task.row.binary:
        return list(files)
    try:
        return [strict_json.decode_text(file) for file in files]
    except UnicodeDecodeError:
        raise BadRequest("The file must be text in UTF-8") from None


def to_request(task: Task, document: Any) -> Any:
    """The task's request for a JSON document; files in it are base64. Raises BadRequest."""
    if isinstance(document, dict):
        fields = task.request.__struct_fields__
        if not all(map(fields.__contains__, document)):
            for name in (document.keys() - fields) & _parameter_names(task):
                raise BadRequest(f"Send `{name}` in `parameters`", param=name)
            document = known_fields(document, fields)
        if task.row.binary and "inputs" in document:
            document["inputs"] = _decode_files(document["inputs"])
    return strict_json.convert(document, task.request)


def known_fields(document: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """The document without fields that are not in `fields`. Raises BadRequest for a misspelt field, since ignoring it
    would change the answer."""
    unknown = [name for name in document if name not in fields]
    from difflib import SequenceMatcher

    for name in unknown[:MAX_NAMES]:
        similar = [field for field in fields if SequenceMatcher(None, name[:64], field).ratio() >= LIKE_A_FIELD]
        if similar:
            raise BadRequest(f"There is no field {strict_json.safe_name(name)}; did you mean `{similar[0]}`?")
    names = [name for name in unknown[:MAX_NAMES] if FIELD_NAME.fullmatch(name)]  # others may be a client's data
    logger().debug("unknown fields ignored", extra={"fields": ", ".join(names)})
    return {name: value for name, value in document.items() if name in fields}


def _parameter_names(task: Task) -> set[str]:
    (parameters,) = (field.type for field in msgspec.structs.fields(task.request) if field.name == "parameters")
    structs = [parameters, *getattr(parameters, "__args__", ())]
    return {name for struct in structs for name in getattr(struct, "__struct_fields__", ())}


def _decode_files(inputs: Any) -> Any:
    """Raises BadRequest."""
    try:
        if isinstance(inputs, str):
            return strict_json.decode_base64(inputs)
        if isinstance(inputs, list):
            return [strict_json.decode_base64(item) if isinstance(item, str) else item for item in inputs]
    except BadRequest as error:
        raise BadRequest(f"`inputs`: {error.message}", param="inputs") from None
    return inputs


def parse_parameter(text: str) -> Any:
    """Convert a parameter of a query string or a form to a number, a boolean or a string."""
    if re.fullmatch(r"\d{1,9}", text, re.ASCII):
        return int(text)
    if re.fullmatch(r"-?\d{1,9}(\.\d{1,17})?", text, re.ASCII):
        return float(text)
    return {"true": True, "false": False}.get(text, text)
