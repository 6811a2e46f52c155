"""Texts that are compared: pairs with a number that says how similar they are, pairs that belong together, and triplets
of a text, one that belongs to it and one that does not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hearth_build.data import retrieval
from hearth_build.data.datasets import DataError
from hearth_build.data.table_files import read_delimited, read_records, read_text
from hearth_build.data.tables import GROUP, NO_COLUMNS, TIME, Columns, Role, Table, is_number, normal, table_of
from hearth_build.recipe import Example

DATA_FORMAT = (
    "a CSV, TSV, XLSX, JSON lines or Parquet file of two sentences (or two words) and their similarity, in columns "
    "named sentence1, sentence2 and score or in three columns without a header; without scores, of two texts that "
    "belong together (anchor, positive), or of these and one that does not (anchor, positive, negative); or "
    f"{retrieval.DATA_FORMAT}"
)
SENTENCES = (
    Role(
        "sentence1",
        ("sentence1", "text1", "sentence_1", "text_1", "sentence_a", "question1", "anchor", "query", "question"),
    ),
    Role(
        "sentence2",
        ("sentence2", "text2", "sentence_2", "text_2", "sentence_b", "question2", "positive", "answer", "passage"),
    ),
)
SCORE = Role("score", ("score", "similarity", "label", "similarity_score", "rating", "is_duplicate"))
NEGATIVE = Role("negative", ("negative", "sentence3", "text3", "hard_negative"))
INFERENCE = {"premise", "hypothesis"}
"""Columns of natural language inference, whose labels 0 to 2 are no similarities."""
COMMENTS = re.compile(r"\A(# .*\n)+")
FORMS = (SCORE, NEGATIVE, None)
"""The third column, in the order in which it is looked for."""


def read(path: Path, columns: Columns = NO_COLUMNS) -> list[Example]:
    """Read pairs and triplets; `inputs` are two or three texts, `expected` is a number, or None without scores. Lines
    at the beginning with `# ` are comments.

    Raises DataError.
    """
    listed = None if columns else retrieval.read_queries(path)
    if listed is not None:
        return pairs_of(listed)
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        header, records = None, read_delimited(COMMENTS.sub("", read_text(path)))
    else:
        header, records = read_records(path)
    table, form = interpret(path, header, records, columns)
    if not columns and {normal(name) for name in table.rows[0]} >= INFERENCE:
        raise DataError(
            f"{path} says what follows from a premise, not how similar texts are. Write a premise and what follows "
            "from it as anchor and positive, and what contradicts it as negative; or, if a column has similarities, "
            "name the columns with --column sentence1=premise --column sentence2=hypothesis --column score=NAME."
        )
    return [example_of(table, form, row, number) for number, row in enumerate(table.rows, 1)]


def pairs_of(queries: Sequence[retrieval.Query]) -> list[Example]:
    """A pair for each text that fits, or a triplet where all queries have texts that do not."""
    queries = [query for query in queries if query.text and query.positives]
    are_triplets = all(query.negatives for query in queries)
    return [
        Example(
            [query.text, positive, *([query.negatives[place % len(query.negatives)]] if are_triplets else [])],
            None,
            f"item {number}",
        )
        for number, query in enumerate(queries, 1)
        for place, positive in enumerate(query.positives)
    ]


def interpret(
    path: Path, header: list[str] | None, records: list[list[Any]], columns: Columns
) -> tuple[Table, Role | None]:
    """The table, and the role of its third column. Raises DataError."""
    named = [role for role in FORMS if role is not None and role.name in columns]
    first_error: DataError | None = None
    for form in named or FORMS:
        roles = (*SENTENCES, *([form] if form else ()), GROUP, TIME)
        try:
            table = table_of(path, header, list(records), roles, columns)
        except DataError as error:
            first_error = first_error or error
            continue
        if form is SCORE and not named and not has_numbers(table):
            continue
        return table, form
    assert first_error is not None
    raise first_error


def has_numbers(table: Table) -> bool:
    """Whether most values of the score's column are numbers."""
    scores = [table.text(row, "score") for row in table.rows]
    return sum(map(is_number, scores)) > len(scores) / 2


def example_of(table: Table, form: Role | None, row: dict[str, Any], number: int) -> Example:
    roles = ["sentence1", "sentence2", *(["negative"] if form is NEGATIVE else ())]
    expected = None
    if form is SCORE:
        score = table.text(row, "score")
        if not is_number(score):
            raise DataError(f"{table.path}, row {number} has the score {score[:40]!r}, which is no number.")
        expected = float(score.replace(",", "."))
    texts = [table.text(row, role) for role in roles]
    return Example(texts, expected, f"row {number}", table.text(row, "group"), table.text(row, "time"))
