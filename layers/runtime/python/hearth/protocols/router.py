"""Which route a method and a path mean, and whose words a path's failures are in."""

from __future__ import annotations

import functools
import importlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from hearth.protocols.base import Dialect, Route

SPOKEN = {
    "v1": "openai",
    "v2": "open_inference",
    "endpoints": "sagemaker",
    "invocations": "sagemaker",
    "ping": "sagemaker",
}
"""Dialects by the first part of the paths that are theirs; all others are the native one's. A Lambda imports only the
dialect that it is spoken to in."""
Door = tuple[Dialect, Route]
_Patterns = defaultdict[tuple[str, int], list[tuple[re.Pattern[str], Door]]]
"""Of a dialect's routes, by method and number of path segments."""


def spoken(path: str) -> Dialect:
    """Who words the failures of a path, and most likely answers there."""
    return _dialect(SPOKEN.get(path.lstrip("/").partition("/")[0], "huggingface"))


def dialects() -> tuple[Dialect, ...]:
    return tuple(_dialect(name) for name in dict.fromkeys((*SPOKEN.values(), "huggingface")))


@functools.cache
def _dialect(name: str) -> Dialect:
    found: Dialect = importlib.import_module(f"hearth.protocols.{name}").DIALECT
    return found


def doors(dialect: Dialect, folder: Path | None) -> list[Door]:
    """The routes of a dialect; among the native one's those of the page in `folder`."""
    found = [(dialect, route) for route in dialect.routes]
    if folder and dialect.name == "huggingface":
        from hearth.http import playground

        found += [(dialect, route) for route in playground.routes(folder)]
    return found


class Doors:
    """Finds routes, those of the page in `folder` among them."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._known: dict[str, _Patterns] = {}

    def find(self, method: str, path: str) -> tuple[Door, Mapping[str, str]] | None:
        """Who answers, and what stands for each {word}. Few routes have paths that are another dialect's."""
        return self._among(spoken(path), method, path) or next(
            (found for dialect in dialects() if (found := self._among(dialect, method, path))), None
        )

    def _among(self, dialect: Dialect, method: str, path: str) -> tuple[Door, Mapping[str, str]] | None:
        if dialect.name not in self._known:
            self._known[dialect.name] = _patterns(doors(dialect, self._folder))
        for pattern, door in self._known[dialect.name].get((method, path.count("/")), ()):
            if match := pattern.fullmatch(path):
                return door, match.groupdict()
        return None


def _patterns(doors: Iterable[Door]) -> _Patterns:
    known: _Patterns = defaultdict(list)
    for dialect, route in doors:
        known[route.method, route.path.count("/")].append((_pattern(route.path), (dialect, route)))
    return known


def _pattern(path: str) -> re.Pattern[str]:
    """Of a path with {words}, none of which takes a slash."""
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path)))
