"""Queries with texts, and how well each of the texts fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hearth_build.data import retrieval
from hearth_build.data.bm25 import Bm25
from hearth_build.data.datasets import DataError
from hearth_build.data.tables import GROUP, NO_COLUMNS, TIME, Columns, Role, is_number, read_table
from hearth_build.recipe import Example

DATA_FORMAT = (
    "a CSV, TSV, XLSX, JSON lines or Parquet file with columns of queries, texts and labels (`query`, `passage`, "
    "`label`), several rows for each query; a label is a number, 0: does not fit, or yes and no; where all texts fit, "
    f"the texts of other queries are added; or {retrieval.DATA_FORMAT}"
)
ROLES = (
    Role("query", ("query", "question", "search", "anchor", "sentence1")),
    Role("passage", ("passage", "text", "document", "answer", "positive", "content", "sentence2")),
    Role("label", ("label", "relevance", "score", "relevant", "grade", "rating"), required=False),
    Role("negative", ("negative", "hard_negative"), required=False),
    GROUP,
    TIME,
)
NEGATIVES = 9
"""Texts that a query gets where all texts of the data fit."""
TRUTH = {"yes": 1.0, "true": 1.0, "relevant": 1.0, "no": 0.0, "false": 0.0, "irrelevant": 0.0, "not relevant": 0.0}


def read(path: Path, columns: Columns = NO_COLUMNS) -> list[Example]:
    """Read one example for each query: its texts, and their relevances as `expected`. Where all texts fit, each query
    gets others that do not. Raises DataError."""
    examples = read_queries(path, columns)
    return with_negatives(examples) if all_fit(examples) else examples


def all_fit(examples: Sequence[Example]) -> bool:
    return all(relevance > 0 for example in examples for relevance in example.expected)


def with_negatives(examples: Sequence[Example]) -> list[Example]:
    """Give each query the texts of other queries that have most words in common with it, as ones that do not fit."""
    texts = list(dict.fromkeys(text for example in examples for text in example.inputs["texts"]))
    bm25, results = Bm25(texts), []
    for example in examples:
        query, own = example.inputs["query"], example.inputs["texts"]
        nearest = np.argsort(-bm25.scores(query), kind="stable")[: NEGATIVES + len(own)]
        others = [texts[number] for number in nearest if texts[number] not in own][:NEGATIVES]
        inputs = {"query": query, "texts": [*own, *others]}
        results.append(replace(example, inputs=inputs, expected=[*example.expected, *[0.0] * len(others)]))
    return results


def read_queries(path: Path, columns: Columns = NO_COLUMNS) -> list[Example]:
    """As `read`, with the texts of the file alone; without labels, all of them fit. Raises DataError."""
    listed = None if columns else retrieval.read_queries(path)
    if listed is not None:
        return [
            Example(
                {"query": query.text, "texts": [*query.positives, *query.negatives]},
                [1.0] * len(query.positives) + [0.0] * len(query.negatives),
                f"item {number}",
            )
            for number, query in enumerate(listed, 1)
            if query.text and query.positives
        ]
    table = read_table(path, ROLES, columns)
    queries: dict[str, Example] = {}
    for number, row in enumerate(table.rows, 1):
        query, text, label = (table.text(row, role) for role in ("query", "passage", "label"))
        relevance = TRUTH.get(label.casefold()) if "label" in table.columns else 1.0
        if relevance is None:
            if not is_number(label):
                raise DataError(f"{path}, row {number} has the label {label[:40]!r}, which is no number.")
            relevance = float(label.replace(",", "."))
        if not query or not text:
            continue
        example = queries.setdefault(
            query,
            Example(
                {"query": query, "texts": []}, [], f"row {number}", table.text(row, "group"), table.text(row, "time")
            ),
        )
        example.inputs["texts"].append(text)
        example.expected.append(max(relevance, 0.0))
        if negative := table.text(row, "negative"):
            example.inputs["texts"].append(negative)
            example.expected.append(0.0)
    return list(queries.values())
