"""The inputs of a model's matrices while it reads a text, with 8 bits in files: together they may exceed the memory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np


class RecordedInputs:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, str] = {}
        """Name of a matrix -> name of its file; matrices that read the same have one file."""
        self._last: tuple[object, str] = (None, "")

    def clear(self) -> None:
        """Begin anew, with an empty folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.files, self._last = {}, (None, "")

    def add(self, name: str, source: object, values: np.ndarray) -> None:
        """Store what a matrix reads, (tokens, inputs). The same `source` as in the call before means the same values:
        query, key and value read one tensor."""
        if self._last[0] is not source:
            path = self.folder / f"{len(self.files)}.npz"
            # A scale for each input: some are a hundred times as large as others.
            scales = np.abs(values).max(0) / 127 + 1e-30
            np.savez(path, codes=np.rint(values / scales).astype(np.int8), scales=scales)
            self._last = (source, path.name)
        self.files[name] = self._last[1]

    def save(self) -> None:
        """Complete the record: `open` reads no other."""
        self._last = (None, "")
        (self.folder / "files.json").write_text(json.dumps(self.files), encoding="utf-8")

    def open(self) -> bool:
        """Find the files of an earlier process; returns whether there is a complete record."""
        path = self.folder / "files.json"
        if path.is_file():
            self.files = json.loads(path.read_text(encoding="utf-8"))
        return path.is_file()

    def load(self, name: str) -> np.ndarray | None:
        """The inputs (tokens, inputs) of a matrix; None if they were not recorded."""
        if name not in self.files:
            return None
        with np.load(self.folder / self.files[name]) as stored:
            return stored["codes"] * stored["scales"]  # type: ignore[no-any-return]
