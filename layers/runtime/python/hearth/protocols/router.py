"""Finds the route of a method and path, and the protocol of a path's errors."""

from __future__ import annotations

import functools
import importlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from hearth.protocols.base import Protocol, Route

DEFAULT = "huggingface"
PREFIXES = {
    "v1": "openai",
    "v2": "open_inference",
    "endpoints": "sagemaker",
    "invocations": "sagemaker",
    "ping": "sagemaker",
    "rerank": "rerank",
}
"""Protocols by the first segment of their paths; all other paths belong to the default one. A Lambda imports only the
protocols that it needs."""


class Match(Struct, frozen=True):
    protocol: Protocol
    route: Route
    path_params: Mapping[str, str]


_Patterns = defaultdict[tuple[str, int], list[tuple[re.Pattern[str], Protocol, Route]]]
"""The routes of a protocol, by method and number of path segments."""


def protocol_for(path: str) -> Protocol:
    """The protocol of a path's errors, which most likely also has its route."""
    return load(PREFIXES.get(path.lstrip("/").partition("/")[0], DEFAULT))


def protocols() -> tuple[Protocol, ...]:
    """All protocols, the default one last."""
    return tuple(load(name) for name in dict.fromkeys((*PREFIXES.values(), DEFAULT)))


@functools.cache
def load(name: str) -> Protocol:
    protocol: Protocol = importlib.import_module(f"hearth.protocols.{name}").PROTOCOL
    return protocol


class Router:
    """Finds routes. `pages` are additional routes of the default protocol."""

    def __init__(self, pages: Sequence[Route] = ()) -> None:
        self._pages = pages
        self._patterns: dict[str, _Patterns] = {}

    def routes(self) -> list[tuple[Protocol, Route]]:
        """All routes."""
        return [pair for protocol in protocols() for pair in self._routes_of(protocol)]

    def find(self, method: str, path: str) -> Match | None:
        """The route of a request, and its path parameters. A slash at the end means nothing.

        The protocol of the path's prefix is tried first; few paths belong to another one.
        """
        path = without_slash(path)
        if match := self._find(protocol_for(path), method, path):
            return match
        for protocol in protocols():
            if match := self._find(protocol, method, path):
                return match
        return None

    def _find(self, protocol: Protocol, method: str, path: str) -> Match | None:
        if protocol.name not in self._patterns:
            self._patterns[protocol.name] = _compile(self._routes_of(protocol))
        for pattern, owner, route in self._patterns[protocol.name].get((method, path.count("/")), ()):
            if match := pattern.fullmatch(path):
                return Match(owner, route, match.groupdict())
        return None

    def _routes_of(self, protocol: Protocol) -> list[tuple[Protocol, Route]]:
        routes = protocol.routes + (tuple(self._pages) if protocol.name == DEFAULT else ())
        return [(protocol, route) for route in routes]


def without_slash(path: str) -> str:
    """The path without a slash at its end."""
    return path.rstrip("/") or "/"


def _compile(routes: Iterable[tuple[Protocol, Route]]) -> _Patterns:
    patterns: _Patterns = defaultdict(list)
    for protocol, route in routes:
        patterns[route.method, route.path.count("/")].append((_pattern(route.path), protocol, route))
    return patterns


def _pattern(path: str) -> re.Pattern[str]:
    """The regular expression of a path with {parameters}, which match no slash."""
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path)))
