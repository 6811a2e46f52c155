"""Read original data files from HEARTH_DATA: verify their SHA-256, remove duplicates, and split them reproducibly."""

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
    """Data is missing or is not what the recipe expects. The message says where to get it."""


@dataclass(frozen=True)
class Source:
    """One original file."""

    path: str
    """Path inside HEARTH_DATA."""
    title: str
    published: str
    """Where the original is published."""
    licence: str
    sha256: str

    def file(self) -> Path:
        """The path of the file, after verifying its checksum. Raises DataError."""
        root = os.environ.get("HEARTH_DATA")
        advice = f"{self.title} is published at {self.published}"
        if not root:
            raise DataError(f"HEARTH_DATA is not set. Set it to the folder that contains {self.path}. {advice}.")
        path = Path(root) / self.path
        if not path.is_file():
            raise DataError(f"{path} is missing. {advice}.")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != self.sha256:
            raise DataError(f"{path} has SHA-256 {digest}, but the recipe expects {self.sha256}. {advice}.")
        return path

    def sentence(self) -> str:
        """Title, licence and checksum as one sentence, for a manifest's provenance."""
        return f"{self.title} ({self.published}), licence: {self.licence}, {self.path} SHA-256 {self.sha256}"


@dataclass(frozen=True)
class OwnData:
    """A file or folder of the user."""

    path: Path
    sha256: str

    def sentence(self) -> str:
        return f"{self.path.name}, licence: not stated, SHA-256 {self.sha256}"


def text_key(text: str) -> str:
    """A key that is equal for texts that differ only in case, width, spaces or punctuation."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    alphanumeric = "".join(character for character in folded if character.isalnum())
    return alphanumeric or folded.strip()


def unique(items: Iterable[Item], key: Callable[[Item], str], seen: set[str]) -> list[Item]:
    """The items whose key is not in `seen`, in order. Their keys are added, so that several splits can share `seen`."""
    unseen = []
    for item in items:
        item_key = key(item)
        if item_key not in seen:
            seen.add(item_key)
            unseen.append(item)
    return unseen


def hold_out(
    items: Sequence[Item], fraction: float, key: Callable[[Item], str], seed: int
) -> tuple[list[Item], list[Item]]:
    """Split into (remaining, held out). The side of an item depends only on its own key and the seed."""
    remaining: list[Item] = []
    held_out: list[Item] = []
    for item in items:
        digest = hashlib.sha256(f"{seed}:{key(item)}".encode()).digest()
        side = held_out if int.from_bytes(digest[:4], "big") < fraction * 2**32 else remaining
        side.append(item)
    return remaining, held_out
