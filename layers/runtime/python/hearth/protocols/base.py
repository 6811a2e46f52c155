"""What a protocol is: requests come in as bytes, responses go out as bytes, and no web framework is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from hearth.errors import HearthError
from hearth.models.cache import Lease, warm_cache
from hearth.models.model import Model
from hearth.models.registry import Resolved
from hearth.tasks.task import Task, Usage, open_model

JSON = "application/json"
EVENT_STREAM = "text/event-stream"
BINARY = "application/octet-stream"


class Request(Struct):
    """One request to a route, its body read to the end and decompressed."""

    tasks: Sequence[Task]
    body: bytes = b""
    path_params: Mapping[str, str] = {}
    """What stands in the path for each {parameter} of the route."""
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    """By names in lower case."""
    request_id: str = ""
    lease: Lease | None = None
    """The model that answers, once it is open. The pipeline closes it when the response has been sent."""

    def open_model(self, model: str | Resolved, task: str = "") -> tuple[Task, Model[Any, Any]]:
        """Load the model of this request, once: the task that answers for it, and the model.

        `model` is its name, or what a name was resolved to. Raises what `Cache.resolve` and `tasks.open_model` raise.
        """
        resolved = warm_cache().resolve(model) if isinstance(model, str) else model
        answering, self.lease = open_model(self.tasks, resolved, task)
        return answering, self.lease.model


class Response(Struct, frozen=True):
    body: bytes | Iterator[bytes]
    """Pieces of an iterator leave one by one, as they are made."""
    media_type: str = JSON
    headers: Mapping[str, str] = {}
    status: int = 200
    """Of a whole response; one in pieces has 200."""
    usage: Usage | None = None
    """What the answer took, for the log; of a response in pieces it grows until its end."""


class Route(Struct, frozen=True):
    method: str
    path: str
    """With {parameters}."""
    endpoint: Callable[[Request], Response]
    """Raises HearthError; what a response streams may raise it too."""
    operation_id: str
    """Names the method of a generated client."""
    summary: str
    request_schema: Any = None
    """The type of a JSON body, for the documentation."""
    response_schema: Any = None
    """The type of a JSON response, for the documentation."""
    request_media_types: tuple[str, ...] = ()
    """Of bodies that are not JSON."""
    response_media_types: tuple[str, ...] = ()
    """Of responses that are not JSON."""
    responses: Mapping[int, Any] = msgspec.field(default_factory=dict)
    """In place of `response_schema` where statuses differ from 200: the type of each one's JSON; None: no body."""
    body_optional: bool = False
    public: bool = False
    """Whether no API key is needed; such a route sees no models where keys are asked for."""
    model_name: Callable[[Mapping[str, str]], str] | None = None
    """The name of the model that the path asks for, by its parameters; on a cold start its load begins at once."""


class Protocol(Struct, frozen=True):
    name: str
    """Of its module."""
    title: str
    prefixes: tuple[str, ...]
    """Of the paths whose errors it words, unknown routes included."""
    routes: tuple[Route, ...]
    encode_error: Callable[[HearthError, str], bytes]
    """(error, request id) -> the body that says so; also the last event of a stream that broke."""
    error_schema: type[Any]
    """What `encode_error` writes, for the documentation."""
    error_headers: Callable[[HearthError], Mapping[str, str]] = lambda error: {}
    """Of an error, beside Retry-After."""


def named_model(path_params: Mapping[str, str]) -> str:
    """The `model_name` of routes whose path has {name}."""
    return path_params["name"]


def server_sent_event(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"
