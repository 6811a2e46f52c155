"""One result of a check of a machine, a store or a deployment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    NOTE = "note"
    """Worth knowing, but nothing that works now is affected: for example, a tool that only deploying needs."""
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    level: Level
    text: str
    """A sentence that states the fact and, for a problem, what to do."""


def ok(text: str) -> Finding:
    return Finding(Level.OK, text)


def note(text: str) -> Finding:
    return Finding(Level.NOTE, text)


def problem(text: str) -> Finding:
    return Finding(Level.PROBLEM, text)
