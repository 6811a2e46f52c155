"""Data in S3, copied to the disk before they are read."""

from __future__ import annotations

from pathlib import Path

from hearth.errors import HearthError
from hearth.storage.open import open_store
from hearth_build.data.datasets import DataError
from hearth_build.data.files import visible


def is_remote(path: str) -> bool:
    return path.startswith("s3://")


def fetch(uri: str, folder: Path) -> Path:
    """Copy the object `uri`, or all objects below it, into a folder; returns the file or the folder.

    Raises DataError if there are none.
    """
    parent, _, name = uri.rstrip("/").rpartition("/")
    if parent in ("s3:", "s3:/"):
        raise DataError(f"{uri} is a whole bucket. Give the folder in it that has the data.")
    store = open_store(parent)
    try:
        paths = [path for path in store.iter_paths(name) if path == name or path.startswith(f"{name}/")]
        chosen = [path for path in paths if not path.endswith("/") and visible(path.split("/"))]
        for path in chosen:
            file = folder / path
            if not file.resolve().is_relative_to(folder.resolve()):
                raise DataError(f"{uri} has an object named {path!r}, which cannot be a file.")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(store.get(path))
    except HearthError as error:
        raise DataError(f"{uri} cannot be read: {error}.") from None
    if not chosen:
        raise DataError(f"There is nothing at {uri}. Give the URI of an object, or of a folder of objects.")
    return folder / name
