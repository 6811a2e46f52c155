"""What reading commands print: JSON for programs, aligned columns for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unicodedata import combining, east_asian_width


def print_json(value: Any) -> None:
    """Print a value of structs, dataclasses, lists and dictionaries; bytes as base64."""
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> None:
    """Print rows in columns, under titles in capitals. The columns named in `right` are aligned to the right."""
    places = [index for index, title in enumerate(titles) if title in right]
    for line in aligned([[title.upper() for title in titles], *rows], places):
        print(line)


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Rows of cells as lines of equally wide columns. The columns at the places `right` are aligned to the right."""
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for place, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - columns(cell))
            cells.append(space + cell if place in right else cell + space)
        lines.append("  ".join(cells).rstrip())
    return lines


def columns(text: str) -> int:
    """The columns of a terminal that a text takes: Chinese characters, for example, take two each."""
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)
