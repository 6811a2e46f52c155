"""Files that a table names, beside it or in folders below, or that it holds, as Parquet files of Hugging Face do."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from hearth_build.data.datasets import DataError
from hearth_build.data.files import DataFile, visible
from hearth_build.data.tables import Table

DEPTH = 3
"""Folders below the table's in which files are looked for by their name."""
UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")
"""Name of a file that was uploaded to Label Studio."""


def listed_files(table: Table, role: str, suffixes: Collection[str], unit: str) -> list[tuple[DataFile | bytes, str]]:
    """The file of each row and its name.

    A file is found by its path, or else by the end of its path, also without its suffix, in a folder below the table's.
    Raises DataError, which names `unit` that are missing.
    """
    root = table.path.parent.resolve()
    values = [table.value(row, role) for row in table.rows]
    held = [value if isinstance(value, dict) else {"path": str(value or "").strip()} for value in values]
    names = [str(value.get("path") or f"row {number}").replace("\\", "/") for number, value in enumerate(held, 1)]
    absent = {
        name for name, value in zip(names, held, strict=True) if not value.get("bytes") and not (root / name).is_file()
    }
    places = dict(zip(absent, find(table.path, absent, suffixes), strict=True)) if absent else {}
    if missing := [name for name in names if name in absent and places[name] is None]:
        some = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise DataError(
            f"{len(missing):,} of the {len(names):,} {unit} of {table.path} do not exist in {root}, or are in several "
            f"of its folders: {some}"
        )
    return [
        (value.get("bytes") or DataFile(places.get(name) or PurePosixPath(name), root), name)
        for name, value in zip(names, held, strict=True)
    ]


def find(table: Path, names: Collection[str], suffixes: Collection[str]) -> list[PurePosixPath | None]:
    """Where files are below the folder of a table, relative to it; None for those that are in no folder or in several.

    Of several places, one whose folder is named like the table is taken: `train/1.jpg` for `train.csv`.
    """
    root = table.parent.resolve()
    by_name: dict[str, set[PurePosixPath]] = defaultdict(set)
    for depth in range(1, DEPTH + 2):
        for file in root.glob("/".join("*" * depth)):
            place = PurePosixPath(file.relative_to(root).as_posix())
            if file.suffix.lower() in suffixes and visible(place.parts):
                by_name[file.name].add(place)
                by_name[file.stem].add(place)
    found: list[PurePosixPath | None] = []
    for name in names:
        path = PurePosixPath(name)
        places = {place for place in by_name.get(path.name, ()) if is_in_same_folder(place, path)}
        if not places and (uploaded := UPLOADED.fullmatch(path.name)):
            places = by_name.get(uploaded[1], set())
        if len(places) > 1:
            places = {place for place in places if place.parts[0].lower().startswith(table.stem.lower())}
        found.append(next(iter(places)) if len(places) == 1 else None)
    return found


def is_in_same_folder(place: PurePosixPath, path: PurePosixPath) -> bool:
    """Whether the folders of two files have the same names as far as both say them, from the last one on."""
    first, second = place.parent.parts, path.parent.parts
    count = min(len(first), len(second))
    return first[len(first) - count :] == second[len(second) - count :]
