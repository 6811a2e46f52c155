"""Reads tables as people have them: CSV and TSV of spreadsheets, .xlsx, JSON, JSON lines and Parquet.

Byte order marks, delimiters, quoted newlines and lines above the table are recognised.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from hearth_build.data.datasets import DataError
from hearth_build.data.labelling_tools import labelled_rows

SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx", ".jsonl", ".ndjson", ".json", ".parquet")
OTHER_FORMATS = frozenset(
    {
        ".xls",
        ".xlsb",
        ".ods",
        ".numbers",
        ".gz",
        ".zip",
        ".7z",
        ".rar",
        ".pkl",
        ".feather",
        ".arrow",
        ".arff",
        ".sav",
        ".dta",
    }
)
DELIMITERS = ("\t", ";", ",", "|")
"""The first of those that part all lines alike: a comma may be within numbers, as in 1,5;2,5."""
SEPARATOR_LINE = re.compile(r"sep=([,;|\t])\r?\n", re.IGNORECASE)
"""The first line by which a file tells Excel its delimiter."""
ESCAPED: dict[str, Any] = {"strict": True, "doublequote": False, "escapechar": "\\"}
QUOTING: tuple[dict[str, Any], ...] = ({"strict": True}, ESCAPED, {"quoting": csv.QUOTE_NONE}, {})
"""How quotation marks are read: as spreadsheets write them; with a backslash before those within texts; as part of
texts, where one would otherwise swallow the lines after it; leniently."""
ARRAY = re.compile(r"array\((\[[^\]]*\])(, dtype=\w+)?\)")
"""A list within an object that pandas wrote into a cell."""
MIN_ROWS = 5
"""Records that are a table below a title: fewer may be lines of text that happen to have as many delimiters."""
csv.field_size_limit(100_000_000)  # texts of a whole document


def table_part(records: list[list[Any]]) -> list[list[Any]]:
    """The records without those above the table that have a value in one column only, such as a title, and without
    empty columns at the end.
    """
    start = next((number for number, record in enumerate(records) if len(filled(record)) > 1), 0)
    width = max((filled(record)[-1] + 1 for record in records[start:] if filled(record)), default=0)
    return [record[:width] for record in records[start:]]


def filled(record: Sequence[Any]) -> list[int]:
    """The numbers of the columns that have a value."""
    return [number for number, value in enumerate(record) if value not in (None, "")]


def listed(header: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in header[:30]) + (", …" if len(header) > 30 else "")


def read_records(path: Path) -> tuple[list[str] | None, list[list[Any]]]:
    """The header, or None where the format has none of its own, and the records. Raises DataError."""
    suffix = path.suffix.lower()
    if path.is_dir():
        tables = [file.name for file in sorted(path.iterdir()) if file.suffix.lower() in SUFFIXES]
        raise DataError(f"{path} is a folder. Give a table{f' in it: {listed(tables)}' if tables else ''}.")
    try:
        if suffix == ".parquet":
            return read_parquet(path)
        if suffix in OTHER_FORMATS:
            raise ValueError("save it as CSV UTF-8, XLSX, JSON lines or Parquet, and unpack it if it is packed")
        if suffix == ".xlsx":
            return None, read_spreadsheet(path)
        if suffix in (".json", ".jsonl", ".ndjson"):
            return records_of(path, read_json(path))
        return None, read_delimited(read_text(path))
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}.") from None


def read_text(path: Path) -> str:
    """A text file in UTF-8 or in UTF-16. Raises DataError."""
    return decode_text(path, path.read_bytes())


def decode_text(path: Path | str, data: bytes) -> str:
    """The text of a file's bytes, as `read_text`. Raises DataError."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    if data[1:4:2] == b"\0\0":  # Latin letters of UTF-16 without the mark
        encoding = "utf-16-le"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        advice = "Save the file as CSV UTF-8 or as Unicode text"
        raise DataError(f"{path}, line {line}, is not UTF-8. {advice}.") from None


def read_delimited(text: str) -> list[list[str]]:
    """The records of a delimited file, by the delimiter that gives most records the same number of fields.

    Raises DataError if no delimiter does.
    """
    candidates = DELIMITERS
    if separator := SEPARATOR_LINE.match(text):
        candidates, text = (separator[1],), text[separator.end() :]
    best: tuple[tuple[bool, float], list[list[str]]] = ((False, 0.0), [])
    for quoting in QUOTING:
        for delimiter in candidates:
            try:
                reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, **quoting)
                records = [record for record in reader if record]
            except csv.Error:  # a quotation mark within a text, which is not doubled
                continue
            part = table_part(records)
            if MIN_ROWS <= len(part) < len(records) and regularity(part) == (True, 1.0):  # below lines of a title
                records = part
            if (quality := regularity(records)) > best[0]:  # the first of equal ones
                best = (quality, records)
        if best[0] == (True, 1.0):
            break
    return table_part(best[1])


def regularity(records: Sequence[Sequence[str]]) -> tuple[bool, float]:
    """Whether records have several fields, and the share of records with as many fields as the first one."""
    if not records:
        return False, 0.0
    return len(records[0]) > 1, sum(len(record) == len(records[0]) for record in records) / len(records)


def read_json(path: Path) -> list[Any]:
    """The objects of a JSON list, of columns, of a JSON object with one list in it, or of JSON lines. Either suffix may
    have either form, but an object in a file of JSON lines is a row. Items of labelling tools become rows.
    """
    return labelled_rows(read_items(path))


def read_items(path: Path) -> list[Any]:
    text, is_document = read_text(path), path.suffix.lower() == ".json"
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        if is_document and error.msg != "Extra data":  # a whole value before it: JSON lines
            raise
        return read_json_lines(text)
    if isinstance(document, dict):
        return rows_of(document) if is_document else [document]
    return list(document)


def read_json_lines(text: str) -> list[Any]:
    items = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                items.append(json.loads(line))
            except ValueError as error:
                raise ValueError(f"line {number} is not JSON ({error})") from None
    return items


def rows_of(document: dict[str, Any]) -> list[Any]:
    """The rows of an object: of its columns, as pandas writes them (lists, or objects by number), or its only list."""
    lists = [value for value in document.values() if isinstance(value, list)]
    columns = list(document.values())
    if all(isinstance(column, dict) and column.keys() == columns[0].keys() for column in columns):
        columns = [list(column.values()) for column in columns]
    are_columns = len(columns) > 1 and all(isinstance(column, list) for column in columns)
    if are_columns and len({len(column) for column in columns}) == 1:
        rows = list(zip(*columns, strict=True))
        if not any(isinstance(value, dict) for row in rows for value in row):
            return [dict(zip(document, row, strict=True)) for row in rows]
    return lists[0] if len(lists) == 1 else [document]


def records_of(path: Path, items: Sequence[Any]) -> tuple[list[str], list[list[Any]]]:
    if not all(isinstance(item, dict) for item in items):
        raise DataError(f"{path} must have a JSON object for each row.")
    header = list(dict.fromkeys(name for item in items for name in item))
    return header, [[item.get(name) for name in header] for item in items]


def parse_literal(text: str) -> Any:
    """A value of JSON, or of Python as pandas writes it into a cell. Raises ValueError."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(ARRAY.sub(r"\1", text))
    except (SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError("it is neither JSON nor a value of Python") from None


def read_parquet(path: Path) -> tuple[list[str], list[list[Any]]]:
    from pyarrow import parquet  # type: ignore[import-untyped]

    table = parquet.read_table(path)
    header, records = records_of(path, table.to_pylist())
    features = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    names = [class_names(features.get(name)) for name in header]
    return header, [[named(value, names[column]) for column, value in enumerate(record)] for record in records]


def class_names(feature: Any) -> list[str]:
    """The names of the numbers in a column of Hugging Face datasets, or of those in its lists; empty if it has none."""
    if isinstance(feature, list):
        return class_names(feature[0]) if feature else []
    if not isinstance(feature, dict):
        return []
    return list(feature.get("names") or ()) or class_names(feature.get("feature"))


def named(value: Any, names: Sequence[str]) -> Any:
    """A number, or a list of them, by its names; None for -1, which marks hidden labels."""
    if not names or value is None:
        return value
    if isinstance(value, list):
        return [named(item, names) for item in value]
    return names[value] if value >= 0 else None


def read_spreadsheet(path: Path) -> list[list[Any]]:
    """The records of the first sheet that has a table, without empty rows. Raises DataError if several sheets have the
    same columns, as those of months have: which of them are meant is not known.
    """
    import zipfile

    from openpyxl import load_workbook  # type: ignore[import-untyped]

    try:
        with closing(load_workbook(path, read_only=True, data_only=True)) as book:
            tables = {sheet.title: table_part(sheet_records(sheet)) for sheet in book.worksheets}
    except zipfile.BadZipFile:
        raise ValueError("it is not an .xlsx file") from None
    tables = {title: records for title, records in tables.items() if len(records) > 1}
    wide = {title: records for title, records in tables.items() if len(filled(records[0])) > 1}
    first = next(iter((wide or tables).values()), [])
    if len(alike := [title for title, records in wide.items() if records[0] == first[0]]) > 1:
        raise DataError(
            f"{path} has several sheets with the same columns: {listed(alike)}. Put the rows to learn from into one "
            "sheet, and test data into a file for --test."
        )
    return first


def sheet_records(sheet: Any) -> list[list[Any]]:
    """The records of a sheet without empty ones."""
    sheet.reset_dimensions()  # some programs write wrong ones
    records = [["" if value is None else value for value in record] for record in sheet.iter_rows(values_only=True)]
    return [record for record in records if filled(record)]
