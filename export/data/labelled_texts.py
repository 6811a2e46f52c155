"""Texts with labels: tables with a text and a label column, or a folder of text files for each class."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hearth_build.data.datasets import DataError
from hearth_build.data.files import list_files
from hearth_build.data.table_files import decode_text, parse_literal
from hearth_build.data.tables import GROUP, NO_COLUMNS, TIME, Columns, Role, Table, read_table
from hearth_build.recipe import Example

DATA_FORMAT = (
    "a CSV, TSV, XLSX, JSON lines or Parquet file with a column of texts and one of labels (lists of labels, or labels "
    "joined by `|`, if a text has several; or a column of zeros and ones for each label), or a folder with one folder "
    "of .txt files per class, or a .zip of it"
)
TEXT = Role(
    "text",
    (
        "text",
        "sentence",
        "review",
        "content",
        "comment",
        "message",
        "body",
        "tweet",
        "document",
        "utterance",
        "title",
        "comment_text",
        "review_text",
        "tweet_text",
        "data",
    ),
)
LABEL = Role(
    "label",
    (
        "label",
        "labels",
        "class",
        "category",
        "sentiment",
        "intent",
        "topic",
        "target",
        "rating",
        "stars",
        "tags",
        "choice",
        "choices",
    ),
)
ROLES = (TEXT, LABEL, GROUP, TIME)
MISSING = frozenset({"nan", "#n/a", "<na>"})
"""How programs write a missing label, in lower case."""
CHOICES = re.compile(r'\{"choices": *(\[.*\])\}', re.DOTALL)
"""Several labels in a cell of Label Studio's CSV."""
LIST = re.compile(r"\[.*\]", re.DOTALL)
SEPARATORS = ("|", ";", ",")


def read(path: Path, columns: Columns = NO_COLUMNS) -> list[Example]:
    """Read examples; `expected` is a label, or a tuple of labels if texts have several. Raises DataError."""
    return read_folders(path) if is_folder(path) else examples_of(labelled_table(path, columns))


def is_folder(path: Path) -> bool:
    """Whether texts are files in folders, which may be packed."""
    return path.is_dir() or path.suffix.lower() == ".zip"


def labelled_table(path: Path, columns: Columns = NO_COLUMNS) -> Table:
    """A table with the columns of texts and labels. Raises DataError."""
    table = read_table(path, ROLES, columns, flags=LABEL.name)
    if "label" not in columns and "text" not in columns and has_swapped(table):
        table.columns["text"], table.columns["label"] = table.columns["label"], table.columns["text"]
    return table


def examples_of(table: Table) -> list[Example]:
    labels = split_labels([table.value(row, "label") for row in table.rows])
    return [
        Example(
            table.text(row, "text"),
            label,
            name=f"row {number}",
            group=table.text(row, "group"),
            time=table.text(row, "time"),
        )
        for number, (row, label) in enumerate(zip(table.rows, labels, strict=True), 1)
    ]


def has_swapped(table: Table) -> bool:
    """Whether columns without usual headers are in the other order: labels are fewer and shorter than texts."""
    if any(table.columns[role.name].casefold() in role.headers for role in (TEXT, LABEL)):
        return False
    texts, labels = ([table.text(row, role) for row in table.rows] for role in ("text", "label"))
    return len(set(texts)) <= len(set(labels)) and sum(map(len, texts)) < sum(map(len, labels))


def split_labels(values: Sequence[Any]) -> list[str | tuple[str, ...]]:
    """Labels as text; tuples if the values are lists, which do not all have one label, or texts that list labels which
    also stand alone."""
    values = [without_choices(value) for value in values]
    if all(isinstance(value, str) and LIST.fullmatch(value.strip()) for value in values):
        values = [as_list(value) for value in values]
    if all(isinstance(value, list | tuple) and len(value) == 1 for value in values):
        return [clean(value[0]) for value in values]
    if any(isinstance(value, list | tuple) for value in values):
        return [
            tuple(map(clean, value)) if isinstance(value, list | tuple) else tuple(filter(None, [clean(value)]))
            for value in values
        ]
    labels = [clean(value) for value in values]
    whole = Counter(labels)
    for separator in SEPARATORS:
        if not any(separator in label for label in whole):
            continue
        parts = {part.strip() for label in whole for part in label.split(separator)}
        alone = sum(count for label, count in whole.items() if separator not in label and label in parts)
        if len(parts) < len(whole) and alone:
            parted = [tuple(filter(None, (part.strip() for part in label.split(separator)))) for label in labels]
            return [parts or "" for parts in parted]
    return list(labels)


def without_choices(value: Any) -> Any:
    """The list in a cell of Label Studio's CSV; other values as they are."""
    matched = CHOICES.fullmatch(value) if isinstance(value, str) else None
    return as_list(matched[1]) if matched else value


def as_list(text: str) -> Any:
    """A list that is written into a cell; other texts as they are."""
    try:
        return parse_literal(text)
    except ValueError:
        return text


def clean(value: Any) -> str:
    """A label as text, empty if it is missing; a number that a spreadsheet wrote as 1.0 is 1."""
    if value is None or str(value).strip().lower() in MISSING:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def read_folders(path: Path) -> list[Example]:
    files = [file for file in list_files(path) if file.path.suffix.lower() == ".txt" and len(file.path.parts) > 1]
    if not files:
        raise DataError(f"{path} has no .txt files in folders; it must be {DATA_FORMAT}.")
    examples = []
    for file in files:
        text = decode_text(str(file), file.read())
        examples.append(Example(text.strip(), file.folder_label(), name=str(file.path)))
    return examples
