"""Reads the tensors of safetensors files one at a time, so that memory is bounded by the largest tensor.

The reader of the safetensors library maps whole files, and what it has read once stays in the process's memory.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hearth_build.recipe import RecipeError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
MAX_HEADER = 100_000_000
"""Largest header in bytes, as in the safetensors library."""


@dataclass(frozen=True)
class Entry:
    path: Path
    dtype: str
    """A key of DTYPES."""
    shape: tuple[int, ...]
    start: int
    """Position of the first byte in the file."""

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(DTYPES[self.dtype]).itemsize


class TensorFiles:
    """The tensors of a folder, in one file or in the shards that an index lists."""

    def __init__(self, folder: Path) -> None:
        """Read the headers. Raises RecipeError for a file that is missing, truncated or no safetensors file."""
        self.folder = folder
        index = folder / INDEX
        names = {SINGLE}
        if index.is_file():
            try:
                names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            except (ValueError, KeyError, TypeError, AttributeError):
                raise RecipeError(f"{index} is not the index of a sharded checkpoint; download it again.") from None
        self.entries: dict[str, Entry] = {}
        for name in sorted(names):
            self.entries |= read_header(folder / name)
        self.read: set[str] = set()
        """Names of the tensors that were loaded."""

    def find(self, name: str) -> str | None:
        """The name under which a tensor is stored: as it is, or without its first part, as saved without a head."""
        return next((key for key in (name, name.partition(".")[2]) if key in self.entries), None)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The shape of a tensor; None if there is none."""
        key = self.find(name)
        return self.entries[key].shape if key else None

    def load(self, name: str) -> np.ndarray | None:
        """A tensor as float32; None if there is none."""
        key = self.find(name)
        if key is None:
            return None
        self.read.add(key)
        entry = self.entries[key]
        values = np.fromfile(entry.path, DTYPES[entry.dtype], int(np.prod(entry.shape)), offset=entry.start)
        if entry.dtype == "BF16":  # the upper half of a float32
            widened = values.astype("<u4")
            widened <<= 16
            values = widened.view("<f4")
        return values.astype(np.float32, copy=False).reshape(entry.shape)


def read_header(path: Path) -> dict[str, Entry]:
    """The entries of a file by name. Raises RecipeError."""
    if not path.is_file():
        raise RecipeError(f"{path} is missing, but the index lists it. Download it.")
    size = path.stat().st_size
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8).ljust(8, b"\xff"))
        if length > min(MAX_HEADER, size - 8):
            raise RecipeError(
                f"{path} is no complete safetensors file ({size:,} bytes): its header is cut off. Download it again; "
                "a file of about 130 bytes is a pointer of Git LFS: run `git lfs pull`."
            )
        try:
            header: dict[str, Any] = json.loads(stream.read(length))
            header.pop("__metadata__", None)
            entries = {name: read_entry(path, 8 + length, fields) for name, fields in header.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise RecipeError(f"{path} is no safetensors file: its header cannot be read. Download it again.") from None
    for name, entry in entries.items():
        if entry.dtype not in DTYPES:  # before its size is used
            raise RecipeError(
                f"{path} has {name} in {entry.dtype}. Only {', '.join(DTYPES)} can be imported: use the checkpoint "
                "that is not quantized."
            )
        if entry.start + entry.size > size:
            raise RecipeError(
                f"{path} is truncated: {name} ends at byte {entry.start + entry.size:,}, and the file has {size:,} "
                "bytes. Download it again."
            )
    return entries


def read_entry(path: Path, offset: int, fields: dict[str, Any]) -> Entry:
    return Entry(path, str(fields["dtype"]), tuple(map(int, fields["shape"])), offset + int(fields["data_offsets"][0]))


def fingerprint(folder: Path) -> str:
    """Names, sizes and times of the files that an import reads: what was made from them is valid while they are."""
    paths = sorted(path for pattern in ("*.safetensors", "*.json", "*.jinja") for path in folder.glob(pattern))
    return json.dumps([[path.name, path.stat().st_size, os.stat(path).st_mtime_ns] for path in paths])
