"""The types of protocols: requests and responses as bytes, independent of any web framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from hearth.errors import HearthError
from hearth.models.cache import Lease, warm_cache
from hearth.models.model import Model
from hearth.models.registry import Ref, Resolved
from hearth.tasks.task import Task, Tasks, Usage, open_model

JSON = "application/json"
EVENT_STREAM = "text/event-stream"
BINARY = "application/octet-stream"


class Request(Struct):
    """One request to a route, with its whole body, decompressed."""

    tasks: Tasks
    body: bytes = b""
    path_params: Mapping[str, str] = {}
    """The values of the route's {parameters} in the path."""
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    """By names in lower case."""
    request_id: str = ""
    lease: Lease | None = None
    """The model in use, once it is open. The pipeline closes it when the response has been sent."""

    def open_model(self, model: str | Resolved, task: str = "") -> tuple[Task, Model[Any, Any]]:
        """Load the model of this request, and return the task that serves it, and the model. Call it once.

        `model` is a name or a resolved name. Raises what `Cache.resolve` and `tasks.open_model` raise.
        """
        resolved = warm_cache().resolve(model) if isinstance(model, str) else model
        chosen_task, self.lease = open_model(self.tasks, resolved, task)
        if resolved.shadow:
            from hearth.tasks import shadow  # few aliases have one

            answered = Ref(resolved.ref.model, self.lease.model.manifest.version)
            chosen_task = shadow.observe(chosen_task, resolved, answered, self.request_id)
        return chosen_task, self.lease.model


class Response(Struct, frozen=True):
    body: bytes | Iterator[bytes]
    """The pieces of an iterator are sent one by one, as they are produced."""
    media_type: str = JSON
    headers: Mapping[str, str] = {}
    status: int = 200
    """Status of a whole response; a streamed one has 200."""
    usage: Usage | None = None
    """The prediction's usage, for the log; that of a streamed response grows until its end."""


class Route(Struct, frozen=True):
    method: str
    path: str
    """The path, with {parameters}."""
    endpoint: Callable[[Request], Response]
    """Raises HearthError, as may the iterator of a streamed response."""
    operation_id: str
    """OpenAPI's operationId, from which generators name the client's method."""
    summary: str
    request_schema: Any = None
    """The type of a JSON body, for the documentation."""
    response_schema: Any = None
    """The type of a JSON response, for the documentation."""
    request_media_types: tuple[str, ...] = ()
    """Media types of request bodies other than JSON."""
    response_media_types: tuple[str, ...] = ()
    """Media types of responses other than JSON."""
    responses: Mapping[int, Any] = msgspec.field(default_factory=dict)
    """Status -> type of its JSON, or None without a body; replaces `response_schema` for statuses other than 200."""
    query_parameters: Mapping[str, Mapping[str, Any]] = {}
    """Name -> JSON schema of the query's parameters, for the documentation."""
    body_optional: bool = False
    is_immediate: bool = False
    """Whether the endpoint waits for nothing, neither a store nor a model, so that it can run on the event loop."""
    public: bool = False
    """Whether no API key is needed. Where keys are required, such a route sees no models."""
    model_name: Callable[[Mapping[str, str]], str] | None = None
    """Path parameters -> the model's name, so that a cold start can load it at once."""


class Protocol(Struct, frozen=True):
    name: str
    """Name of its module."""
    title: str
    prefixes: tuple[str, ...]
    """Prefixes of the paths whose errors have this protocol's format, unknown routes included."""
    routes: tuple[Route, ...]
    encode_error: Callable[[HearthError, str], bytes]
    """(error, request id) -> response body, or the last event of a failed stream."""
    error_schema: type[Any]
    """Type of the error bodies, for the documentation."""
    error_headers: Callable[[HearthError], Mapping[str, str]] = lambda error: {}
    """Headers of error responses, in addition to Retry-After."""


def named_model(path_params: Mapping[str, str]) -> str:
    """The `model_name` of routes whose path has {name}."""
    return path_params["name"]


def server_sent_event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"
