"""What an artifact may hold: graphs, raw weights, text, JSON and a picture; nothing that is code when it is opened."""

from __future__ import annotations

import io
import pickletools
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec

from hearth.errors import BadRequest
from hearth.models.manifest import Manifest

HEAD = 1024 * 1024
FOREIGN = {
    b"PK\x03\x04": "a zip archive, as torch's .pt and NumPy's .npz are",
    b"PK\x05\x06": "an empty zip archive",
    b"\x93NUMPY": "a NumPy array, which may hold pickled objects",
    b"\x1f\x8b": "gzip",
    b"\x7fELF": "a program",
    b"\x89HDF\r\n\x1a\n": "HDF5",
}
"""By the bytes that they begin with."""


def refuse_foreign(folder: Path, manifest: Manifest) -> None:
    """Raises BadRequest for a link, or a file of another kind than its name says, or of one that no artifact has."""
    for file in manifest.files:
        path = folder / file.path
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise BadRequest(f"{file.path} is a link or no file: an artifact has files of its own alone")
        check = KINDS.get(path.suffix)
        if check is None:
            raise BadRequest(f"{file.path} is of no kind that an artifact may have: {', '.join(sorted(KINDS))}")
        check(path)


def _raw(path: Path) -> None:
    with path.open("rb") as opened:
        head = opened.read(HEAD)
        whole = not opened.read(1)
    found = next((what for magic, what in FOREIGN.items() if head.startswith(magic)), "")
    if head[4:8] == b"ORTM":
        found = "in ONNX Runtime's own format, whose reader trusts it"
    if _is_pickle(head, whole):
        found = "a pickle, which runs whatever it says"
    if found:
        raise BadRequest(f"{path.name} is {found}. An artifact holds ONNX graphs and raw weights.")


def _is_pickle(head: bytes, whole: bool) -> bool:
    """Whether a pickle stands at the beginning. Reads it and runs nothing."""
    data = io.BytesIO(head)
    try:
        for _ in pickletools.genops(data):
            pass
    except Exception:  # as many kinds as there are ways not to be a pickle
        return False
    # Weights may begin with the byte that ends a pickle; since protocol 2 a pickle begins with one of its own.
    return head[:1] == b"\x80" or (whole and data.tell() == len(head))


def _json(path: Path) -> None:
    try:
        msgspec.json.decode(path.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"{path.name} is no JSON: {str(error)[:100]}") from None


def _text(path: Path) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise BadRequest(f"{path.name} is no text in UTF-8")


def _png(path: Path) -> None:
    with path.open("rb") as opened:
        if opened.read(8) != b"\x89PNG\r\n\x1a\n":
            raise BadRequest(f"{path.name} is no PNG")


KINDS: dict[str, Callable[[Path], None]] = {
    ".onnx": _raw,
    ".bin": _raw,
    ".json": _json,
    ".md": _text,
    ".txt": _text,
    ".jinja": _text,
    ".arpa": _text,
    ".png": _png,
}
