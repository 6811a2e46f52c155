"""The columns of tables by their roles; the case of headers, usual names and missing headers are recognised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hearth_build.data.datasets import DataError
from hearth_build.data.table_files import filled, listed, read_records

ONE = frozenset({"1", "1.0", "true", "yes", "x"})
FLAGS = ONE | {"0", "0.0", "false", "no", ""}
"""What is written in columns that say of each label whether an example has it."""

Row = dict[str, Any]
Columns = Mapping[str, str]
"""Names of columns by role, as the user gives them: `--column text=Review`."""
NO_COLUMNS: Columns = MappingProxyType({})


@dataclass(frozen=True)
class Role:
    """A column that a task reads."""

    name: str
    headers: tuple[str, ...]
    """Usual headers of this column, in lower case; the first that exists is taken."""
    required: bool = True


GROUP = Role("group", ("group", "group_id"), required=False)
TIME = Role("time", (), required=False)


@dataclass(frozen=True)
class Table:
    path: Path
    rows: list[Row]
    """One dictionary per row: values by header."""
    columns: dict[str, str]
    """Headers by role, for the roles that the table has."""

    def value(self, row: Row, role: str) -> Any:
        """The value of a role's column; None without such a column."""
        return row.get(self.columns[role]) if role in self.columns else None

    def sentence(self) -> str:
        """Which columns are read, and which are not."""
        read = ", ".join(f"{name!r} ({role})" for role, name in self.columns.items())
        others = [name for name in self.rows[0] if name not in self.columns.values()]
        return f"Columns: {read}{f'; not read: {listed(others)}' if others else ''}"

    def text(self, row: Row, role: str) -> str:
        """The value as text without spaces at its ends; empty without such a column."""
        value = self.value(row, role)
        return "" if value is None else str(value).strip()


def read_table(path: Path, roles: Sequence[Role], columns: Columns = NO_COLUMNS, flags: str = "") -> Table:
    """Read a table and find the column of each role. Raises DataError, which names the columns that exist.

    `flags` is the role whose column may be spread over columns of zeros and ones.
    """
    header, records = read_records(path)
    if flags and flags not in columns and records:
        usual = next(role.headers for role in roles if role.name == flags)
        header, records = join_flags(header, records, usual)
    return table_of(path, header, records, roles, columns)


def table_of(
    path: Path, header: list[str] | None, records: list[list[Any]], roles: Sequence[Role], columns: Columns
) -> Table:
    """The table of records, of which the first may be the header if there is none. Raises DataError."""
    if header is None:
        header, records = split_header(records, roles, columns)
    if header is None:
        width = max((len(record) for record in records), default=0)
        header = [f"column {number}" for number in range(1, width + 1)]
    if repeated := [name for name, count in Counter(header).items() if count > 1]:
        raise DataError(f"{path} has several columns named {repeated[0]!r}; rename or remove all but one.")
    for number, record in enumerate(records, 1):
        if filled(record[len(header) :]):
            raise DataError(
                f"{path}, row {number} ({' '.join(map(str, record))[:60]!r}) has {len(record)} fields, but there are "
                f"{len(header)} columns. Put texts that contain the delimiter in quotation marks."
            )
    rows = [dict(zip(header, record, strict=False)) for record in records]
    rows = [row for row in rows if filled(list(row.values()))]
    if not rows:
        raise DataError(f"{path} has no rows.")
    return Table(path, rows, find_columns(path, header, roles, columns))


def find_columns(path: Path, header: Sequence[str], roles: Sequence[Role], columns: Columns) -> dict[str, str]:
    """Headers by role: those that the user names, then usual ones. Raises DataError."""
    by_name = {normal(name): name for name in reversed(header)}
    known = [role.name for role in roles]
    if unknown := [role for role in columns if role not in known]:
        raise DataError(f"--column {unknown[0]}=… is not a column of this task; it reads {', '.join(known)}.")
    chosen: dict[str, str] = {}
    for role in roles:
        if role.name in columns:
            if normal(columns[role.name]) not in by_name:
                raise DataError(f"{path} has no column {columns[role.name]!r}; its columns are {listed(header)}.")
            chosen[role.name] = by_name[normal(columns[role.name])]
    for role in roles:
        free = [name for name in role.headers if name in by_name and by_name[name] not in chosen.values()]
        if role.name not in chosen and free:
            chosen[role.name] = by_name[free[0]]
    missing = [role.name for role in roles if role.required and role.name not in chosen]
    rest = [name for name in header if name not in chosen.values()]
    if len(missing) == len(rest):  # what is left over is what is missing, in the order of the columns
        chosen |= dict(zip(missing, rest, strict=True))
    elif missing:
        flags = " ".join(f"--column {name}=NAME" for name in missing)
        raise DataError(f"Which columns of {path} are {' and '.join(missing)}? Add {flags}. It has {listed(header)}.")
    return chosen


def split_header(
    records: list[list[Any]], roles: Sequence[Role], columns: Columns
) -> tuple[list[str] | None, list[list[Any]]]:
    """The first record as header, and the others; None as header if the file begins with data."""
    usual = {name for role in roles for name in (role.name, *role.headers)}
    usual |= {normal(name) for name in columns.values()}
    if not records:
        return None, records
    is_usual = bool(usual & {normal(value) for value in records[0]})
    is_words = not any(role.required for role in roles) and not any(map(is_number, records[0]))
    if not (is_usual or is_words or has_header(records)):
        return None, records
    header = [str(value).strip() or f"column {number}" for number, value in enumerate(records[0], 1)]
    return header, records[1:]


def has_header(records: Sequence[Sequence[Any]]) -> bool:
    """Whether the first record differs from the others: a word above numbers, or above values that all repeat."""
    for number, first in enumerate(records[0]):
        values = [str(record[number]).strip() for record in records[1:] if len(record) > number]
        if not values or not str(first).strip():
            continue
        counts = Counter(values)
        repeats = len(counts) <= len(values) / 2 and min(counts.values()) > 1
        if str(first).strip() not in counts and (repeats or all(map(is_number, counts))) and not is_number(first):
            return True
    return False


def join_flags(
    header: list[str] | None, records: list[list[Any]], usual: Sequence[str]
) -> tuple[list[str] | None, list[list[Any]]]:
    """Columns of zeros and ones become one column `labels` with the names of those that are one, unless a column is
    named as `usual`: the form of tables whose rows have several labels or none."""
    names, rows = (header, records) if header is not None else (list(map(str, records[0])), records[1:])
    columns = [{flag_of(row[number]) for row in rows if len(row) > number} for number in range(len(names))]
    flags = [number for number, values in enumerate(columns) if values <= FLAGS and values & ONE]
    others = [number for number in range(len(names)) if number not in flags]
    is_ragged = any(len(row) > len(names) for row in rows)
    if len(flags) < 2 or not others or is_ragged or any(normal(name) in usual for name in names):
        return header, records
    joined = []
    for row in rows:
        padded = [*row, *[""] * (len(names) - len(row))]
        labels = [names[number].strip() for number in flags if flag_of(padded[number]) in ONE]
        joined.append([*(padded[number] for number in others), labels])
    return [*(names[number] for number in others), "labels"], joined


def flag_of(value: Any) -> str:
    return "" if value is None else str(value).strip().lower()


def is_number(value: Any) -> bool:
    try:
        float(str(value).replace(",", "."))
    except ValueError:
        return False
    return True


def normal(name: Any) -> str:
    """A header without differences of case, spaces, underscores and hyphens."""
    return " ".join(str(name).casefold().replace("_", " ").replace("-", " ").split()).replace(" ", "_")
