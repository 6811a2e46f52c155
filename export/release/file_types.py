"""The file types that an artifact may contain: graphs, raw weights, text, JSON and PNG. Opening them runs no code."""

from __future__ import annotations

import io
import pickletools
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec

from hearth.errors import BadRequest
from hearth.models.manifest import Manifest

HEAD_BYTES = 1024 * 1024
"""Bytes at the beginning of a file that are inspected."""
REFUSED_FORMATS = {
    b"PK\x03\x04": "a zip archive, as torch's .pt and NumPy's .npz are",
    b"PK\x05\x06": "an empty zip archive",
    b"\x93NUMPY": "a NumPy array, which may hold pickled objects",
    b"\x1f\x8b": "gzip",
    b"\x7fELF": "a program",
    b"\x89HDF\r\n\x1a\n": "HDF5",
}
"""Descriptions by the bytes that a file of the format begins with."""


def check_file_types(folder: Path, manifest: Manifest) -> None:
    """Raises BadRequest for a link, for an unknown file type, or for content that does not match the type."""
    for file in manifest.files:
        path = folder / file.path
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise BadRequest(f"{file.path} is a link or not a regular file. An artifact must contain its own files")
        check = CHECKS.get(path.suffix)
        if check is None:
            raise BadRequest(f"{file.path} has a type that artifacts must not contain. Allowed: {', '.join(CHECKS)}")
        check(path)


def _check_binary(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        is_complete = not file.read(1)
    refused = next((description for magic, description in REFUSED_FORMATS.items() if head.startswith(magic)), "")
    if head[4:8] == b"ORTM":
        refused = "in ONNX Runtime's own format, which is loaded without checks"
    if _is_pickle(head, is_complete):
        refused = "a pickle, which can run any code"
    if refused:
        raise BadRequest(f"{path.name} is {refused}. An artifact contains ONNX graphs and raw weights.")


def _is_pickle(head: bytes, is_complete: bool) -> bool:
    """Whether the data begins with a pickle. Parses it without running anything."""
    data = io.BytesIO(head)
    try:
        for _ in pickletools.genops(data):
            pass
    except Exception:  # genops raises many types for data that is not a pickle
        return False
    # Weights may begin with the byte that ends a pickle. Since protocol 2, a pickle begins with 0x80.
    return head[:1] == b"\x80" or (is_complete and data.tell() == len(head))


def _check_json(path: Path) -> None:
    try:
        msgspec.json.decode(path.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"{path.name} is not JSON: {str(error)[:100]}") from None


def _check_text(path: Path) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise BadRequest(f"{path.name} is not text in UTF-8")


def _check_png(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(8) != b"\x89PNG\r\n\x1a\n":
            raise BadRequest(f"{path.name} is not a PNG")


CHECKS: dict[str, Callable[[Path], None]] = {
    ".arpa": _check_text,
    ".bin": _check_binary,
    ".jinja": _check_text,
    ".json": _check_json,
    ".md": _check_text,
    ".onnx": _check_binary,
    ".png": _check_png,
    ".txt": _check_text,
}
"""The check of each allowed file type, by suffix."""
