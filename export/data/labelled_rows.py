"""Rows of a table with the column that is to be predicted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hearth_build.data.datasets import DataError
from hearth_build.data.labelled_texts import clean
from hearth_build.data.tables import GROUP, NO_COLUMNS, TIME, Columns, Role, is_number, read_table
from hearth_build.recipe import Example

DATA_FORMAT = (
    "a CSV, TSV, XLSX, JSON lines or Parquet file with a line of column names and a column to predict, `target`, "
    "`label` or the last one"
)
TARGET = Role("target", ("target", "label", "class", "y", "outcome"), required=False)
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
"""How missing values are written, in lower case."""


def read(path: Path, columns: Columns = NO_COLUMNS) -> list[Example]:
    """Read examples; `inputs` are values by column, `expected` the value to predict as text. Raises DataError."""
    table = read_table(path, (TARGET, GROUP, TIME), columns)
    names = list(table.rows[0])
    target = table.columns.get("target", names[-1])
    if len(names) < 2:
        raise DataError(f"{path} has one column; there must be others to predict it from.")
    inputs = [name for name in names if name not in (target, table.columns.get("group"))]
    decimals = {name for name in names if has_decimal_commas([row.get(name) for row in table.rows])}

    def value(row: dict[str, Any], name: str) -> Any:
        raw = row.get(name)
        if isinstance(raw, str):
            raw = raw.strip()
            if raw.lower() in MISSING:
                return None
            return raw.replace(",", ".") if name in decimals else raw
        return raw if raw is None or isinstance(raw, bool | int | float) else str(raw)

    return [
        Example(
            {name: value(row, name) for name in inputs},
            clean(value(row, target)),
            f"row {number}",
            table.text(row, "group"),
            table.text(row, "time"),
        )
        for number, row in enumerate(table.rows, 1)
    ]


def has_decimal_commas(values: list[Any]) -> bool:
    """Whether a column has numbers as spreadsheets of many countries write them, such as 3,14."""
    texts = [value.strip() for value in values if isinstance(value, str) and value.strip().lower() not in MISSING]
    return any("," in text for text in texts) and all(is_number(text) and text.count(",") < 2 for text in texts)
