"""The OpenAPI document: every dialect's routes, and a path a model, since its task decides what it takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hearth import __version__
from hearth.auth import api_keys
from hearth.errors import NotFound
from hearth.models.cache import manifest_of, warm
from hearth.protocols.base import EVENTS, JSON, Dialect, Route
from hearth.tasks.task import Task, choose

STATUSES = {
    400: "The request is wrong; the error says how",
    401: "An API key is wanted, and none that is known was sent",
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

SCHEMES = {
    "key": {"type": "apiKey", "in": "header", "name": api_keys.HEADER},
    "bearer": {"type": "http", "scheme": "bearer"},
}
"""How an API key is sent, where one is wanted."""


def document(title: str, description: str, dialects: Sequence[Dialect], tasks: Sequence[Task]) -> dict[str, Any]:
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = _models(schemas, dialects[-1], tasks)
    for dialect in dialects:
        for route in dialect.routes:
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(schemas, dialect, route)
    components: dict[str, Any] = {"schemas": schemas}
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": __version__, "description": description},
        "paths": paths,
        "components": components,
    }
    if api_keys.table():
        components["securitySchemes"] = SCHEMES
        found["security"] = [{name: []} for name in SCHEMES]
    return found


def _operation(schemas: dict[str, Any], dialect: Dialect, route: Route) -> dict[str, Any]:
    prefix = dialect.name.title()
    words = re.findall(r"{(\w+)(?::\w+)?}", route.path)
    operation: dict[str, Any] = {
        "tags": [dialect.name],
        "summary": route.summary,
        "operationId": f"{dialect.name}-{route.method.lower()}{re.sub(r'[^a-z0-9]+', '-', route.path.rstrip('}'))}",
        "parameters": [
            {"name": word, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for word in words
        ],
        "responses": _responses(
            schemas,
            dialect,
            _content(schemas, prefix, route.gives, route.gives_also),
            {status: _content(schemas, prefix, kind) for status, kind in route.answers.items()},
        ),
    }
    if route.open:
        operation["security"] = []
    if route.takes is not None or route.takes_also:
        content = _content(schemas, prefix, route.takes, route.takes_also)
        operation["requestBody"] = {"required": not route.optional, "content": content}
    return operation


def _content(schemas: dict[str, Any], prefix: str, kind: Any, others: Sequence[str] = ()) -> dict[str, Any]:
    content = {} if kind is None else {JSON: {"schema": _schema(schemas, prefix, kind)}}
    # What an event of a stream holds, no schema of a whole body can say.
    binary = {"schema": {"type": "string", "format": "binary"}}
    return content | {media: {} if media == EVENTS else binary for media in others}


def _schema(schemas: dict[str, Any], prefix: str, kind: Any) -> dict[str, Any]:
    (schema,), parts = msgspec.json.schema_components([kind], ref_template=f"#/components/schemas/{prefix}{{name}}")
    schemas.update({f"{prefix}{name}": part for name, part in parts.items()})
    return schema


def _responses(
    schemas: dict[str, Any], dialect: Dialect, content: dict[str, Any], others: Mapping[int, dict[str, Any]]
) -> dict[str, Any]:
    failure = _content(schemas, dialect.name.title(), dialect.failure)
    answers = {
        str(status): {"description": "The answer"} | ({"content": content} if content else {})
        for status, content in (others or {200: content}).items()
    }
    return answers | {str(status): {"description": words, "content": failure} for status, words in STATUSES.items()}


def _models(schemas: dict[str, Any], native: Dialect, tasks: Sequence[Task]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for name in warm().registry.models():
        try:
            task = choose(tasks, name, manifest_of(name).task)
        except NotFound:
            continue
        prefix = "".join(part.title() for part in task.id.split("-"))
        content = _content(schemas, prefix, task.request, ("application/octet-stream",) * task.binary)
        content[JSON]["example"] = task.example
        answer = _content(schemas, prefix, task.response, (EVENTS,) * bool(task.stream))
        paths[f"/models/{name}"] = {
            "post": {
                "tags": ["models"],
                "summary": f"{name}: {task.id}",
                "description": 'In the place of a large input, `inputs` may be `{"upload": id}` of what was uploaded.',
                "operationId": f"ask-{name}",
                "requestBody": {"required": True, "content": content},
                "responses": _responses(schemas, native, answer, {}),
            }
        }
    return paths
