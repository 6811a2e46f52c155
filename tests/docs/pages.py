"""The documents as files: pages, links, generated tables, blocks of commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
_TABLE = re.compile(r"(<!-- table: (?P<name>[a-z-]+) -->\n)(?P<rows>.*?)(<!-- end -->)", re.DOTALL)
_BLOCK = re.compile(r"^```(?P<language>\w+)(?: (?P<marks>[^\n]*))?\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(?P<title>.+)$", re.MULTILINE)


class Block(NamedTuple):
    language: str
    marks: tuple[str, ...]
    """Words after the language, which say where a block can be run."""
    text: str


class Command(NamedTuple):
    line: str
    output: str
    """What follows it on the page; empty: nothing is said of it."""


def blocks(page: Path) -> list[Block]:
    return [
        Block(match["language"], tuple((match["marks"] or "").split()), match["text"])
        for match in _BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]


def commands(block: Block) -> Iterator[Command]:
    """The commands of a `console` block: lines that begin with `$ `, each with the output below it."""
    line, output = "", list[str]()
    for text in block.text.splitlines():
        if text.startswith("$ "):
            if line:
                yield Command(line, "\n".join(output))
            line, output = text[2:], []
        elif line.endswith("\\") and not output:
            line = f"{line[:-1]}{text.strip()}"
        else:
            output.append(text)
    if line:
        yield Command(line, "\n".join(output))


def links(page: Path) -> list[str]:
    return [match["target"] for match in _LINK.finditer(page.read_text(encoding="utf-8"))]


def anchors(page: Path) -> set[str]:
    """The names of a page's headings as GitHub makes them."""
    titles = [match["title"] for match in _HEADING.finditer(page.read_text(encoding="utf-8"))]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def tables(page: Path) -> dict[str, str]:
    """The generated tables of a page by name."""
    return {match["name"]: match["rows"] for match in _TABLE.finditer(page.read_text(encoding="utf-8"))}


def with_tables(page: Path, made: dict[str, str]) -> str:
    """The page's text with the rows of `made` in place of its own."""
    text = page.read_text(encoding="utf-8")
    return _TABLE.sub(lambda match: match[1] + made.get(match["name"], match["rows"]) + match[4], text)
