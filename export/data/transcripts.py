"""Recordings with what is said in them: a table of paths and texts, Common Voice, or a text file beside each one."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from hearth_build.data.datasets import DataError
from hearth_build.data.files import DataFile, list_files
from hearth_build.data.tables import NO_COLUMNS, SUFFIXES, TIME, Columns, Role, read_table
from hearth_build.recipe import Example

DATA_FORMAT = (
    "a CSV, TSV, XLSX, JSON lines or Parquet file with a column of paths of recordings and one of texts, such as "
    "Common Voice's, or a folder or a .zip of recordings, each with a text file of the same name (one.wav, one.txt), "
    "or named like the digits in FSDD (7_speaker_0.wav)"
)
RECORDINGS = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".webm", ".aiff", ".amr", ".aac", ".mp4"})
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ROLES = (
    Role("recording", ("recording", "path", "audio", "file", "file_name", "filename", "audio_filepath", "audio_path",
                       "wav")),
    Role("text", ("text", "sentence", "transcript", "transcription", "words", "label")),
    Role("group", ("group", "group_id", "client_id", "speaker_id", "speaker"), required=False),
    TIME,
)  # fmt: skip
FOLDERS = ("", "clips", "wavs", "audio", "recordings")
"""Folders beside a table in which recordings are looked for."""
FEW_GROUPS = 20
"""Speakers of a column that the user does not name are kept on one side of the split from this number on."""


def read(path: Path, columns: Columns = NO_COLUMNS) -> list[Example]:
    """Read examples; `inputs` are DataFiles. Raises DataError, which names recordings and texts that are missing."""
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return read_listed(path, columns)
    if not path.is_dir() and path.suffix.lower() != ".zip":
        raise DataError(f"{path} must be {DATA_FORMAT}.")
    files = list_files(path)
    texts = {file.path.with_suffix(""): file for file in files if file.path.suffix.lower() == ".txt"}
    recordings = [file for file in files if file.path.suffix.lower() in RECORDINGS]
    if not recordings:
        raise DataError(f"{path} has no recordings; it must be {DATA_FORMAT}.")
    examples, missing = [], []
    for file in recordings:
        text = texts.get(file.path.with_suffix(""))
        digit = re.fullmatch(r"(\d)_.+_\d+", file.path.stem)
        if text is not None:
            examples.append(Example(file, decoded(text), str(file.path)))
        elif digit:
            examples.append(Example(file, DIGITS[int(digit[1])], str(file.path)))
        else:
            missing.append(file.path.name)
    if missing:
        raise DataError(
            f"{len(missing):,} of {len(recordings):,} recordings of {path} have no text file of the same name: "
            f"{', '.join(missing[:3])}{', …' if len(missing) > 3 else ''}"
        )
    return examples


def decoded(file: DataFile) -> str:
    try:
        return file.read().decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise DataError(f"{file} is not UTF-8. Save it as Unicode text.") from None


def read_listed(path: Path, columns: Columns) -> list[Example]:
    """Read a table of paths, relative to its folder or to a usual folder beside it."""
    table = read_table(path, ROLES, columns)
    root = path.parent.resolve()
    names = [table.text(row, "recording").replace("\\", "/") for row in table.rows]
    folder = next((folder for folder in FOLDERS if any((root / folder / name).is_file() for name in names[:100])), "")
    missing = [name for name in names if not (root / folder / name).is_file()]
    if missing:
        raise DataError(
            f"{len(missing):,} of the {len(names):,} recordings of {path} do not exist in {root / folder}: "
            f"{', '.join(missing[:3])}{', …' if len(missing) > 3 else ''}"
        )
    groups = [table.text(row, "group") for row in table.rows]
    if "group" not in columns and len(set(groups)) < FEW_GROUPS:
        groups = [""] * len(groups)
    return [
        Example(
            DataFile(PurePosixPath(folder) / name, root), table.text(row, "text"), name, group, table.text(row, "time")
        )
        for name, row, group in zip(names, table.rows, groups, strict=True)
    ]
