"""Recordings with what is said in them: a table of paths and texts, Common Voice, or a text file beside each one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hearth_build.data.datasets import DataError
from hearth_build.data.files import DataFile, list_files, main_table
from hearth_build.data.listed_files import listed_files
from hearth_build.data.table_files import SUFFIXES, decode_text
from hearth_build.data.tables import NO_COLUMNS, TIME, Columns, Role, read_table
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
FEW_GROUPS = 20
"""Speakers of a column that the user does not name are kept on one side of the split from this number on."""


def read(path: Path, columns: Columns = NO_COLUMNS) -> list[Example]:
    """Read examples; `inputs` are DataFiles or bytes. Raises DataError, which names what is missing."""
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
    listed = transcripts_of(files)
    for file in recordings:
        text = texts.get(file.path.with_suffix(""))
        digit = re.fullmatch(r"(\d)_.+_\d+", file.path.stem)
        if text is not None:
            examples.append(Example(file, decode_text(str(text), text.read()).strip(), str(file.path)))
        elif file.path.stem in listed:
            examples.append(Example(file, listed[file.path.stem], str(file.path)))
        elif digit:
            examples.append(Example(file, DIGITS[int(digit[1])], str(file.path)))
        else:
            missing.append(file.path.name)
    if missing and (table := main_table(path)):
        return read_listed(table, columns)
    if missing:
        raise DataError(
            f"{len(missing):,} of {len(recordings):,} recordings of {path} have no text file of the same name: "
            f"{', '.join(missing[:3])}{', …' if len(missing) > 3 else ''}"
        )
    return examples


def transcripts_of(files: Sequence[DataFile]) -> dict[str, str]:
    """Texts by the names of recordings without suffix, from the lists of LibriSpeech, `84-121123.trans.txt`."""
    texts = {}
    for file in files:
        if file.path.name.lower().endswith(".trans.txt"):
            for line in decode_text(str(file), file.read()).splitlines():
                name, _, text = line.strip().partition(" ")
                texts[name] = text.strip()
    return texts


def read_listed(path: Path, columns: Columns) -> list[Example]:
    """Read a table of paths. Raises DataError, which names recordings that are missing."""
    table = read_table(path, ROLES, columns)
    files = listed_files(table, "recording", RECORDINGS, "recordings")
    groups = [table.text(row, "group") for row in table.rows]
    if "group" not in columns and len(set(groups)) < FEW_GROUPS:
        groups = [""] * len(groups)
    return [
        Example(file, table.text(row, "text"), name, group, table.text(row, "time"))
        for (file, name), row, group in zip(files, table.rows, groups, strict=True)
    ]
