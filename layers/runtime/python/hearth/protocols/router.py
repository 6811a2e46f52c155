"""Which route a method and a path mean, and which protocol words a path's errors."""

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
}
"""Protocols by the first part of their paths; all other paths are of the default one. A Lambda imports only the
protocol in which it is asked."""


class Match(Struct, frozen=True):
    protocol: Protocol
    route: Route
    path_params: Mapping[str, str]


_Patterns = defaultdict[tuple[str, int], list[tuple[re.Pattern[str], Protocol, Route]]]
"""The routes of a protocol, by method and number of path segments."""


def protocol_for(path: str) -> Protocol:
    """The protocol that words the errors of a path, and most likely answers there."""
    return load(PREFIXES.get(path.lstrip("/").partition("/")[0], DEFAULT))


def protocols() -> tuple[Protocol, ...]:
    """All protocols, the default one last."""
    return tuple(load(name) for name in dict.fromkeys((*PREFIXES.values(), DEFAULT)))


@functools.cache
def load(name: str) -> Protocol:
    protocol: Protocol = importlib.import_module(f"hearth.protocols.{name}").PROTOCOL
    return protocol


class Router:
    """Finds routes; `pages` are routes beside those of the protocols, whose errors the default protocol words."""

    def __init__(self, pages: Sequence[Route] = ()) -> None:
        self._pages = pages
        self._patterns: dict[str, _Patterns] = {}

    def routes(self) -> list[tuple[Protocol, Route]]:
        """All routes."""
        return [pair for protocol in protocols() for pair in self._of(protocol)]

    def find(self, method: str, path: str) -> Match | None:
        """The route that answers, and what stands for each {parameter}. Few paths are of another protocol than the one
        whose prefix they have."""
        if match := self._find(protocol_for(path), method, path):
            return match
        for protocol in protocols():
            if match := self._find(protocol, method, path):
                return match
        return None

    def _find(self, protocol: Protocol, method: str, path: str) -> Match | None:
        if protocol.name not in self._patterns:
            self._patterns[protocol.name] = _compile(self._of(protocol))
        for pattern, owner, route in self._patterns[protocol.name].get((method, path.count("/")), ()):
            if match := pattern.fullmatch(path):
                return Match(owner, route, match.groupdict())
        return None

    def _of(self, protocol: Protocol) -> list[tuple[Protocol, Route]]:
        routes = protocol.routes + (tuple(self._pages) if protocol.name == DEFAULT else ())
        return [(protocol, route) for route in routes]


def _compile(routes: Iterable[tuple[Protocol, Route]]) -> _Patterns:
    patterns: _Patterns = defaultdict(list)
    for protocol, route in routes:
        patterns[route.method, route.path.count("/")].append((_pattern(route.path), protocol, route))
    return patterns


def _pattern(path: str) -> re.Pattern[str]:
    """Of a path with {parameters}, none of which takes a slash."""
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path)))
