"""Pairs of texts with a number that says how similar they are."""

from __future__ import annotations

from pathlib import Path

from hearth_build.data.datasets import DataError
from hearth_build.data.tables import (
    GROUP,
    NO_COLUMNS,
    TIME,
    Columns,
    Role,
    is_number,
    read_delimited,
    read_table,
    read_text,
    table_of,
)
from hearth_build.recipe import Example

DATA_FORMAT = (
    "a CSV, TSV, XLSX, JSON lines or Parquet file of two sentences (or two words) and their similarity, in columns "
    "named sentence1, sentence2 and score or in three columns without a header"
)
ROLES = (
    Role("sentence1", ("sentence1", "text1", "sentence_1", "text_1", "sentence_a", "anchor")),
    Role("sentence2", ("sentence2", "text2", "sentence_2", "text_2", "sentence_b", "positive")),
    Role("score", ("score", "similarity", "label", "similarity_score", "rating")),
    GROUP,
    TIME,
)


def read(path: Path, columns: Columns = NO_COLUMNS) -> list[Example]:
    """Read pairs; `inputs` are two texts, `expected` is a number. Lines that begin with `# ` are comments.

    Raises DataError.
    """
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        text = "\n".join(line for line in read_text(path).splitlines() if not line.startswith("# "))
        table = table_of(path, None, read_delimited(text, path.suffix.lower()), ROLES, columns)
    else:
        table = read_table(path, ROLES, columns)
    examples = []
    for number, row in enumerate(table.rows, 1):
        first, second, score = (table.text(row, role) for role in ("sentence1", "sentence2", "score"))
        if not is_number(score):
            raise DataError(f"{path}, row {number} has the score {score[:40]!r}, which is no number.")
        value = float(score.replace(",", "."))
        examples.append(
            Example([first, second], value, f"row {number}", table.text(row, "group"), table.text(row, "time"))
        )
    return examples
