"""Original data files in HEARTH_DATA: checked by SHA-256, cleaned of duplicates, split the same way each time."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")


class DataError(Exception):
    """Data that is missing or is not what the recipe was made for. The words say where to get it."""


@dataclass(frozen=True)
class Source:
    """One original file."""

    path: str
    """Inside HEARTH_DATA."""
    title: str
    published: str
    """Where the original stands."""
    licence: str
    sha256: str

    def file(self) -> Path:
        """The file, once its checksum is right. Raises DataError."""
        root = os.environ.get("HEARTH_DATA")
        advice = f"{self.title} is published at {self.published}"
        if not root:
            raise DataError(f"HEARTH_DATA is not set. Set it to the folder that holds {self.path}; {advice}.")
        path = Path(root) / self.path
        if not path.is_file():
            raise DataError(f"{path} is missing. {advice}.")
        with path.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        if found != self.sha256:
            raise DataError(f"{path} has SHA-256 {found}, the recipe was made for {self.sha256}. {advice}.")
        return path

    def sentence(self) -> str:
        """Name, licence and checksum, as a manifest's provenance wants them."""
        return f"{self.title} ({self.published}), licence: {self.licence}, {self.path} SHA-256 {self.sha256}"


def text_key(text: str) -> str:
    """What two texts share that differ in case, width, spaces or punctuation only."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(letter for letter in folded if letter.isalnum())
    return kept or folded.strip()


def unique(items: Iterable[Item], key: Callable[[Item], str], seen: set[str]) -> list[Item]:
    """Items whose key is not in `seen`, in order; their keys go into `seen`, so splits can share it."""
    kept = []
    for item in items:
        mark = key(item)
        if mark not in seen:
            seen.add(mark)
            kept.append(item)
    return kept


def hold_out(
    items: Sequence[Item], part: float, key: Callable[[Item], str], seed: int
) -> tuple[list[Item], list[Item]]:
    """(kept, held out). An item's side follows from its key alone: no order, no count and no other item matters."""
    kept: list[Item] = []
    held: list[Item] = []
    for item in items:
        digest = hashlib.sha256(f"{seed}:{key(item)}".encode()).digest()
        side = held if int.from_bytes(digest[:4], "big") < part * 2**32 else kept
        side.append(item)
    return kept, held
