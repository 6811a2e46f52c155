"""Which endpoint a method and a path mean."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

Endpoint = Callable[[Request], Awaitable[Response]]


class Doors:
    """Routes by method and number of path segments, in the order in which they were added."""

    def __init__(self) -> None:
        self._known: defaultdict[tuple[str, int], list[tuple[re.Pattern[str], Endpoint]]] = defaultdict(list)

    def add(self, method: str, path: str, endpoint: Endpoint) -> None:
        """`path` with {words}, none of which takes a slash."""
        self._known[method, path.count("/")].append((compile_path(path)[0], endpoint))

    def find(self, method: str, path: str) -> tuple[Endpoint, Mapping[str, str]] | None:
        """Who answers, and what stands for each {word}."""
        for pattern, endpoint in self._known.get((method, path.count("/")), ()):
            if match := pattern.match(path):
                return endpoint, match.groupdict()
        return None
