"""Which route a method and a path mean, and whose words a path's failures are in."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from hearth import page
from hearth.call import Dialect, Route
from hearth.dialects import native, oip, openai, sagemaker

DIALECTS = (openai.DIALECT, oip.DIALECT, sagemaker.DIALECT, native.DIALECT)
"""The last one words the failures of every path that is no other's."""
Door = tuple[Dialect, Route]


def all_doors(folder: Path | None) -> list[Door]:
    """Every route there is, those of the page in `folder` among them."""
    doors = [(dialect, route) for dialect in DIALECTS for route in dialect.routes]
    return doors + [(native.DIALECT, route) for route in (page.routes(folder) if folder else ())]


def spoken(path: str) -> Dialect:
    """Who words the failures of a path."""
    return next(dialect for dialect in DIALECTS if dialect.speaks(path))


class Doors:
    """Routes by method and number of path segments, in the order in which they were given."""

    def __init__(self, doors: Iterable[Door]) -> None:
        self._known: defaultdict[tuple[str, int], list[tuple[re.Pattern[str], Door]]] = defaultdict(list)
        for dialect, route in doors:
            place = route.method, route.path.count("/")
            self._known[place].append((_pattern(route.path), (dialect, route)))

    def find(self, method: str, path: str) -> tuple[Door, Mapping[str, str]] | None:
        """Who answers, and what stands for each {word}."""
        for pattern, door in self._known.get((method, path.count("/")), ()):
            if match := pattern.fullmatch(path):
                return door, match.groupdict()
        return None


def _pattern(path: str) -> re.Pattern[str]:
    """Of a path with {words}, none of which takes a slash."""
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path)))
