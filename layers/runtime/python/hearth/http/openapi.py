"""The OpenAPI document: the routes of all protocols, and one path per model with the schemas of its task."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, get_args

import msgspec

from hearth import __version__
from hearth.auth import api_keys
from hearth.errors import HearthError
from hearth.models.cache import warm_cache
from hearth.protocols.base import BINARY, EVENT_STREAM, JSON, Protocol, Route
from hearth.protocols.router import DEFAULT
from hearth.tasks.task import Tasks, choose_task

STATUSES = {
    400: "The request is invalid; the error has the reason",
    401: "An API key is required, but none or an unknown one was sent",
    403: "The request is not allowed",
    404: "There is no such model, version, alias or route",
    405: "The method is not allowed for this path",
    413: "The request is too large; the error has the limit",
    415: "The task does not support this kind of file",
    422: "The upload could not be processed; the error has the reason",
    429: "Too many requests with this API key; retry after the time in Retry-After",
    500: "Internal error; the log has its cause under the request id",
    503: "The model cannot be loaded at the moment; retry after the time in Retry-After",
}
SECURITY_SCHEMES = {
    "key": {"type": "apiKey", "in": "header", "name": api_keys.HEADER},
    "bearer": {"type": "http", "scheme": "bearer"},
}
"""How clients send an API key, if one is required."""
CONTENT_ENCODING = {
    "name": "Content-Encoding",
    "in": "header",
    "schema": {"type": "string", "enum": ["gzip", "deflate"]},
}
"""The optional header of every request with a body."""


def document(title: str, description: str, protocols: Sequence[Protocol], tasks: Tasks) -> dict[str, Any]:
    """The document for the current caller, without models that they may not use."""
    schemas = Schemas()
    default = next(protocol for protocol in protocols if protocol.name == DEFAULT)
    paths: dict[str, Any] = _model_paths(schemas, default, tasks)
    for protocol in protocols:
        for route in protocol.routes:
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(schemas, protocol, route)
    components: dict[str, Any] = {"schemas": schemas.components}
    result: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": __version__, "description": description},
        "paths": paths,
        "components": components,
    }
    if api_keys.key_table():
        components["securitySchemes"] = SECURITY_SCHEMES
        result["security"] = [{name: []} for name in SECURITY_SCHEMES]
    return result


class Schemas:
    """The schemas of the document by the names of their types."""

    def __init__(self) -> None:
        self.components: dict[str, Any] = {}

    def content(self, schema: Any, media_types: Sequence[str] = (), *, prefix: str = "") -> dict[str, Any]:
        """A content object: `schema` as JSON, and other media types. `prefix` is added to the names of types."""
        content = {} if schema is None else {JSON: {"schema": self._add(schema, prefix)}}
        # A schema describes a whole body, so the events of a stream have none.
        binary = {"schema": {"type": "string", "format": "binary"}}
        return content | {media_type: {} if media_type == EVENT_STREAM else binary for media_type in media_types}

    def _add(self, schema: Any, prefix: str) -> dict[str, Any]:
        if isinstance(schema, UnionType):  # msgspec knows no union of several structs, which are only ever encoded
            return {"anyOf": [self._add(member, prefix) for member in get_args(schema)]}
        (root,), definitions = msgspec.json.schema_components(
            [schema], ref_template=f"#/components/schemas/{prefix}{{name}}"
        )
        for name, definition in definitions.items():
            component = _for_generators(definition | {"title": f"{prefix}{name}"})
            if self.components.setdefault(f"{prefix}{name}", component) != component:
                raise ValueError(f"Two types would have the name {prefix}{name} in the OpenAPI document")
        plain: dict[str, Any] = _for_generators(root)
        return plain


def _for_generators(schema: Any) -> Any:
    """A schema that generators of clients understand: tuples are arrays of their length, all arrays have items, and
    enumerations are not of booleans."""
    if isinstance(schema, list):
        return [_for_generators(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _for_generators(value) for name, value in schema.items() if name != "prefixItems"}
    if items := schema.get("prefixItems"):
        kinds = [_for_generators(item) for item in items]
        plain["items"] = kinds[0] if all(kind == kinds[0] for kind in kinds) else {"anyOf": kinds}
    elif schema.get("type") == "array":
        plain.setdefault("items", {})
    if all(isinstance(value, bool) for value in plain.get("enum", ("",))):
        del plain["enum"]
        plain["type"] = "boolean"
    return plain


def _operation(schemas: Schemas, protocol: Protocol, route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "tags": [protocol.title],
        "summary": route.summary,
        "operationId": route.operation_id,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for name in re.findall(r"{(\w+)}", route.path)
        ]
        + [{"name": name, "in": "query", "schema": dict(schema)} for name, schema in route.query_parameters.items()],
        "responses": _responses(
            schemas,
            protocol,
            {status: schemas.content(schema) for status, schema in route.responses.items()}
            or {200: schemas.content(route.response_schema, route.response_media_types)},
        ),
    }
    if route.public:
        operation["security"] = []
    if route.request_schema is not None or route.request_media_types:
        content = schemas.content(route.request_schema, route.request_media_types)
        operation["parameters"].append(CONTENT_ENCODING)
        operation["requestBody"] = {"required": not route.body_optional, "content": content}
    return operation


def _responses(schemas: Schemas, protocol: Protocol, contents: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    error = schemas.content(protocol.error_schema)
    responses = {
        str(status): {"description": "Successful response"} | ({"content": content} if content else {})
        for status, content in contents.items()
    }
    return responses | {
        str(status): {"description": description, "content": error} for status, description in STATUSES.items()
    }


def _model_paths(schemas: Schemas, protocol: Protocol, tasks: Tasks) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    if not tasks:
        return paths
    registry = warm_cache().registry
    for name in registry.catalog()[0]:
        try:
            task = choose_task(tasks, registry.resolve(name))
        except HearthError:
            continue
        prefix = "".join(word.title() for word in task.id.split("-"))
        request = schemas.content(task.request, (BINARY,) if task.row.binary else (), prefix=prefix)
        request[JSON]["example"] = task.example
        response = schemas.content(task.response, (EVENT_STREAM,) if task.stream else (), prefix=prefix)
        paths[f"/models/{name}"] = {
            "post": {
                "tags": ["models"],
                "summary": f"Run {task.id} with {name}",
                "description": 'For a large input, `inputs` can be `{"upload": id}` with the id of an upload.',
                "operationId": f"infer_{name}",
                "parameters": [CONTENT_ENCODING],
                "requestBody": {"required": True, "content": request},
                "responses": _responses(schemas, protocol, {200: response}),
            }
        }
    return paths
