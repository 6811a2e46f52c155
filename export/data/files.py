"""Files of a data set in a folder or a zip, without those that operating systems leave there."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from hearth_build.data.datasets import DataError

IMAGES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic"})
CLUTTER = frozenset(
    {
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
        "__macosx",
        "@eadir",
        "$recycle.bin",
        "system volume information",
    }
)
"""Names of files and folders that are not data, in lower case; so are all that begin with a dot."""

MAIN_TABLE = re.compile(r"metadata\.(csv|tsv|jsonl|parquet)|_classes\.csv")
PARTS = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing"})
"""Folders of the parts of a data set, in lower case."""


@dataclass(frozen=True)
class DataFile:
    """A file of a data set, read when it is needed."""

    path: PurePosixPath
    """Path inside the folder or the zip."""
    root: Path

    def read(self) -> bytes:
        if self.root.is_dir():
            return (self.root / self.path).read_bytes()
        with zipfile.ZipFile(self.root) as archive:
            return archive.read(str(self.path))

    def folder_label(self) -> str:
        """The name of the file's folder; empty if that is the name of a part of the data set."""
        folder = self.path.parent.name
        return "" if folder.lower() in PARTS else folder

    def __str__(self) -> str:
        return str(self.root / self.path)


def visible(parts: Iterable[str]) -> bool:
    return not any(part.startswith(".") or part.lower() in CLUTTER for part in parts)


def list_files(root: Path) -> list[DataFile]:
    """The files below a folder or in a zip, sorted. Raises DataError."""
    if root.is_dir():
        names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    else:
        try:
            with zipfile.ZipFile(root) as archive:
                names = [info.filename for info in archive.infolist() if not info.is_dir()]
        except (zipfile.BadZipFile, OSError) as error:
            raise DataError(f"{root} cannot be read: {error}.") from None
    paths = sorted(map(PurePosixPath, names))
    return [DataFile(path, root) for path in paths if visible(path.parts)]


def main_table(folder: Path) -> Path | None:
    """The table that lists the files of a folder: `metadata.csv` of Hugging Face, `_classes.csv` of Roboflow."""
    if not folder.is_dir():
        return None
    return next((file for file in sorted(folder.iterdir()) if MAIN_TABLE.fullmatch(file.name)), None)


def original_of(name: str) -> str:
    """The name of the image of which Roboflow made augmented copies, `cat_jpg.rf.1f3d.jpg`; empty for other names."""
    original, mark, _ = name.rpartition(".rf.")
    return original if mark else ""


def content(inputs: Any) -> Any:
    """The bytes of a DataFile or a Path; other inputs as they are."""
    if isinstance(inputs, DataFile):
        return inputs.read()
    return inputs.read_bytes() if isinstance(inputs, Path) else inputs


def digest(path: Path) -> str:
    """The SHA-256 of a file, or of the names and contents of the visible files below a folder."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    total = hashlib.sha256()
    for file in list_files(path):
        total.update(f"{file.path}\n".encode())
        total.update(hashlib.sha256(file.read()).digest())
    return total.hexdigest()
