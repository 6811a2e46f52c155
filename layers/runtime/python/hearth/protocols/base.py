"""What a dialect is: calls come in as bytes and words, answers go out as bytes, and no web framework is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from hearth.errors import HearthError
from hearth.models.cache import manifest_of
from hearth.tasks.task import Task, choose

JSON = "application/json"
EVENTS = "text/event-stream"


class Call(Struct, frozen=True):
    """One request, its body read to the end and inflated."""

    tasks: Sequence[Task]
    body: bytes = b""
    path: Mapping[str, str] = {}
    """What stands in the path for each {word} of the route."""
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    """By names in small letters."""
    request_id: str = ""

    def task(self, name: str, asked: str = "") -> Task:
        """Who answers for the model `name`. Raises BadRequest, Forbidden, NotFound, StoreError."""
        return choose(self.tasks, name, manifest_of(name).task, asked)


class Answer(Struct, frozen=True):
    body: bytes | Iterator[bytes]
    """Pieces of an iterator leave one by one, as they are made."""
    media: str = JSON
    headers: Mapping[str, str] = {}
    status: int = 200
    """Of an answer that is whole; one in pieces has 200."""


class Route(msgspec.Struct, frozen=True):
    method: str
    path: str
    """With {words} for what differs."""
    work: Callable[[Call], Answer]
    """Raises HearthError; what an answer streams may raise it too."""
    summary: str
    takes: Any = None
    """The type of a JSON body, for the documentation."""
    gives: Any = None
    """The type of a JSON answer, for the documentation."""
    takes_also: tuple[str, ...] = ()
    """Media types of other bodies."""
    gives_also: tuple[str, ...] = ()
    """Media types of other answers."""
    answers: Mapping[int, Any] = msgspec.field(default_factory=dict)
    """In the place of `gives` where statuses differ from 200: the type of each one's JSON answer; None: no body."""
    optional: bool = False
    """Whether the body may be left out."""
    open: bool = False
    """Whether no API key is needed; such a route sees no models where keys are wanted."""


class Dialect(msgspec.Struct, frozen=True):
    name: str
    prefixes: tuple[str, ...]
    """Of the paths whose failures it words, unknown routes included."""
    routes: tuple[Route, ...]
    error: Callable[[HearthError, str], bytes]
    """(failure, request id) -> the body that says so; also what `broken` sends."""
    failure: type[Any]
    """What `error` writes, for the documentation."""
    headers: Callable[[HearthError], Mapping[str, str]] = lambda failure: {}
    """Of a failure, beside Retry-After."""

    def speaks(self, path: str) -> bool:
        return any(path == prefix or path.startswith(prefix.rstrip("/") + "/") for prefix in self.prefixes)


def event(data: bytes) -> bytes:
    """A Server-Sent Event."""
    return b"data: " + data + b"\n\n"
