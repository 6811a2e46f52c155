"""Rows of a table with the column that is to be predicted."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearth_build.data.datasets import DataError
from hearth_build.data.labelled_texts import clean
from hearth_build.data.tables import GROUP, NO_COLUMNS, TIME, Columns, Role, Table, is_number, read_table
from hearth_build.recipe import Example

DATA_FORMAT = (
    "a CSV, TSV, XLSX, JSON lines or Parquet file with a line of column names and a column to predict, `target`, "
    "`label` or the last one"
)
TARGET = Role("target", ("target", "label", "class", "y", "outcome"), required=False)
MISSING = frozenset({"", "na", "n/a", "n.a.", "nan", "null", "?", "#n/a", "<na>", "#null!", "#value!", "#div/0!"})
"""How missing values are written, in lower case."""
NO_NUMBERS = frozenset({"none", "-", "--", "–", "—", "inf", "-inf", "infinity", "-infinity", "missing", "unknown"})
"""What is written for missing values in columns of numbers, but may be a category elsewhere."""
UNIT = re.compile(r"([$€£¥₹]?)\s*(.*?)\s*([%$€£¥₹]|EUR|USD|GBP|CHF)?")
"""What stands before or after a number, and the number."""
POINT = re.compile(r"[+-]?(?=[.,]?\d)(\d+|[1-9]\d{0,2}(,\d{3})+)?(\.\d*)?(e[+-]?\d+)?", re.IGNORECASE)
COMMA = re.compile(r"[+-]?(?=[.,]?\d)(\d+|[1-9]\d{0,2}(\.\d{3})+)?(,\d*)?(e[+-]?\d+)?", re.IGNORECASE)
"""Numbers with a decimal point or a decimal comma; the other sign may part thousands."""
SPACES = re.compile(r"(?<=\d)[ \u00a0\u202f'’](?=\d{3}(?!\d))")
"""Other signs that part thousands."""
LARGEST = 3.4e38
"""Larger numbers are infinite in the precision in which models read them: missing values."""
Reading = Callable[[str], str]


@dataclass(frozen=True)
class Rows:
    examples: list[Example]
    target: str
    """Name of the column that is to be predicted."""
    is_guess: bool
    """Whether it is that one because it is the last."""


def read(path: Path, columns: Columns = NO_COLUMNS) -> list[Example]:
    """Read examples; `inputs` are values by column, `expected` the value to predict as text. Raises DataError."""
    return read_rows(path, columns).examples


def read_rows(path: Path, columns: Columns = NO_COLUMNS) -> Rows:
    """As `read`, with the name of the column to predict. Raises DataError."""
    table = read_table(path, (TARGET, GROUP, TIME), columns)
    names = list(table.rows[0])
    target = table.columns.get("target", names[-1])
    if len(names) < 2:
        raise DataError(f"{path} has one column; there must be others to predict it from.")
    inputs = [name for name in names if name not in (target, table.columns.get("group"))]
    readings = readings_of(table, names)

    def value(row: dict[str, Any], name: str) -> Any:
        raw = row.get(name)
        if isinstance(raw, str):
            raw = raw.strip()
            if raw.lower() in MISSING:
                return None
            if name not in readings:
                return raw
            number = None if raw.lower() in NO_NUMBERS else readings[name](raw)
            return None if number is None or abs(float(number)) > LARGEST else number
        if isinstance(raw, float) and not abs(raw) <= LARGEST:  # also without a value: NaN
            return None
        return raw if raw is None or isinstance(raw, bool | int | float) else str(raw)

    examples = [
        Example(
            {name: value(row, name) for name in inputs},
            clean(value(row, target)),
            f"row {number}",
            table.text(row, "group"),
            table.text(row, "time"),
        )
        for number, row in enumerate(table.rows, 1)
    ]
    return Rows(examples, target, "target" not in table.columns)


def readings_of(table: Table, names: Sequence[str]) -> dict[str, Reading]:
    """How the columns of numbers that are written as texts are read, by name.

    1,234 is a thousand where other numbers of the table have decimal points, or none has a decimal comma.
    """
    texts = {name: numbers_in([row.get(name) for row in table.rows]) for name in names}
    texts = {name: values for name, values in texts.items() if values}
    point = {name for name, values in texts.items() if all(map(POINT.fullmatch, values))}
    comma = {name for name, values in texts.items() if all(map(COMMA.fullmatch, values))}
    has_commas = bool(comma - point) and not point - comma
    readings: dict[str, Reading] = {}
    for name, values in texts.items():
        if name in comma and (name not in point or has_commas):
            readings[name] = decimal_comma
        elif name in point:
            readings[name] = decimal_point
        elif all(map(is_number, values)):  # both signs are decimal
            readings[name] = lambda text: bare(text).replace(",", ".")
    return readings


def numbers_in(values: Sequence[Any]) -> list[str]:
    """The texts of a column without missing values and their common unit; empty if they have digits in none or have
    different units."""
    texts = [value.strip() for value in values if isinstance(value, str)]
    texts = [text for text in texts if text.lower() not in MISSING | NO_NUMBERS]
    units = [matched.group(1) or matched.group(3) or "" for text in texts if (matched := UNIT.fullmatch(text))]
    is_mixed = len(set(units) - {""}) > 1 or ("%" in units and "" in units)
    numbers = [bare(text) for text in texts]
    return [] if is_mixed or not all(re.search(r"\d", number) for number in numbers) else numbers


def bare(text: str) -> str:
    """A number without its unit and without spaces between thousands."""
    matched = UNIT.fullmatch(text.strip().replace("\u2212", "-"))
    return SPACES.sub("", matched.group(2) if matched else text)


def decimal_point(text: str) -> str:
    return bare(text).replace(",", "")


def decimal_comma(text: str) -> str:
    return bare(text).replace(".", "").replace(",", ".")
