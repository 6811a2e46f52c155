"""The OpenAPI document: the routes of every protocol, and a path a model, since its task decides what it takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hearth import __version__
from hearth.auth import api_keys
from hearth.errors import NotFound
from hearth.models.cache import warm_cache
from hearth.protocols.base import BINARY, EVENT_STREAM, JSON, Protocol, Route
from hearth.protocols.router import DEFAULT
from hearth.tasks.task import Task, choose_task

STATUSES = {
    400: "The request is wrong; the error says how",
    401: "An API key is needed, and none that is known was sent",
    403: "This may not be asked for here",
    404: "No such model, version, alias or route",
    405: "Not with this method",
    413: "Too large; the error names the limit",
    415: "Not a kind of file that the task reads",
    422: "What was uploaded cannot be answered; the error says why",
    429: "This API key asks too often; Retry-After says when to ask again",
    500: "Our fault; the log has the cause under the request's id",
    503: "The model cannot be loaded now; Retry-After says when to ask again",
}
SECURITY_SCHEMES = {
    "key": {"type": "apiKey", "in": "header", "name": api_keys.HEADER},
    "bearer": {"type": "http", "scheme": "bearer"},
}
"""How an API key is sent, where one is needed."""


def document(title: str, description: str, protocols: Sequence[Protocol], tasks: Sequence[Task]) -> dict[str, Any]:
    """The document for whoever asks now: models that they may not use are left out."""
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
    """The schemas that the document's parts refer to, by the names of their types."""

    def __init__(self) -> None:
        self.components: dict[str, Any] = {}

    def content(self, schema: Any, media_types: Sequence[str] = (), *, prefix: str = "") -> dict[str, Any]:
        """`schema` as JSON, and bodies of other media types. Names of types get the `prefix`."""
        content = {} if schema is None else {JSON: {"schema": self._add(schema, prefix)}}
        # What an event of a stream holds, no schema of a whole body can say.
        binary = {"schema": {"type": "string", "format": "binary"}}
        return content | {media_type: {} if media_type == EVENT_STREAM else binary for media_type in media_types}

    def _add(self, schema: Any, prefix: str) -> dict[str, Any]:
        (root,), parts = msgspec.json.schema_components([schema], ref_template=f"#/components/schemas/{prefix}{{name}}")
        self.components.update({f"{prefix}{name}": part for name, part in parts.items()})
        return root


def _operation(schemas: Schemas, protocol: Protocol, route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "tags": [protocol.title],
        "summary": route.summary,
        "operationId": route.operation_id,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for name in re.findall(r"{(\w+)}", route.path)
        ],
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
        operation["requestBody"] = {"required": not route.body_optional, "content": content}
    return operation


def _responses(schemas: Schemas, protocol: Protocol, contents: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    error = schemas.content(protocol.error_schema)
    responses = {
        str(status): {"description": "The answer"} | ({"content": content} if content else {})
        for status, content in contents.items()
    }
    return responses | {
        str(status): {"description": description, "content": error} for status, description in STATUSES.items()
    }


def _model_paths(schemas: Schemas, protocol: Protocol, tasks: Sequence[Task]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    registry = warm_cache().registry
    for name in registry.models():
        try:
            task = choose_task(tasks, registry.resolve(name))
        except NotFound:
            continue
        prefix = "".join(part.title() for part in task.id.split("-"))
        request = schemas.content(task.request, (BINARY,) if task.row.binary else (), prefix=prefix)
        request[JSON]["example"] = task.example
        response = schemas.content(task.response, (EVENT_STREAM,) if task.stream else (), prefix=prefix)
        paths[f"/models/{name}"] = {
            "post": {
                "tags": ["models"],
                "summary": f"Ask {name} ({task.id})",
                "description": 'In place of a large input, `inputs` may be `{"upload": id}` of what was uploaded.',
                "operationId": f"infer_{name}",
                "requestBody": {"required": True, "content": request},
                "responses": _responses(schemas, protocol, {200: response}),
            }
        }
    return paths
