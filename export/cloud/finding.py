"""What is wrong with a machine, a store, a deployment: a sentence each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    FINE = "fine"
    NOTE = "note"
    """Of no harm to what works, as a tool that only deploying needs."""
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    level: Level
    text: str
    """A sentence that says what is so and, where it is wrong, what to do."""


def fine(text: str) -> Finding:
    return Finding(Level.FINE, text)


def note(text: str) -> Finding:
    return Finding(Level.NOTE, text)


def wrong(text: str) -> Finding:
    return Finding(Level.WRONG, text)
