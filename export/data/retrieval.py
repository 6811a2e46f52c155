"""Queries with texts that fit and texts that do not: JSON with lists of texts, such as DPR's, and BEIR's folders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearth_build.data.datasets import DataError
from hearth_build.data.table_files import read_json
from hearth_build.data.tables import Role, is_number, read_table

DATA_FORMAT = (
    "JSON or JSON lines of queries with lists of texts (`query`, `pos`, `neg`, or DPR's), or BEIR's folder "
    "(corpus.jsonl, queries.jsonl, qrels/train.tsv)"
)
QUERY = ("query", "question", "anchor")
POSITIVE = ("positive_ctxs", "positive_passages", "positives", "positive", "pos")
NEGATIVE = ("hard_negative_ctxs", "negative_ctxs", "negative_passages", "negatives", "negative", "neg")
JUDGEMENTS = (
    Role("query", ("query_id", "query", "qid", "topic")),
    Role("passage", ("corpus_id", "doc_id", "docid", "pid", "passage_id")),
    Role("score", ("score", "relevance", "label", "rel")),
)


@dataclass(frozen=True)
class Query:
    text: str
    positives: list[str]
    negatives: list[str]


def read_queries(path: Path) -> list[Query] | None:
    """The queries of JSON with lists of texts or of a folder; None for other forms. Raises DataError."""
    if path.is_dir():
        return read_beir(path)
    if path.suffix.lower() not in (".json", ".jsonl", ".ndjson"):
        return None
    try:
        items = read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from None
    if not any(isinstance(item, dict) and any(isinstance(item.get(name), list) for name in POSITIVE) for item in items):
        return None
    queries = []
    for number, item in enumerate(items, 1):
        query = next((item[name] for name in QUERY if isinstance(item.get(name), str)), None)
        if query is None:
            raise DataError(f"{path}, item {number} has no `query`; the file must be {DATA_FORMAT}.")
        queries.append(Query(query.strip(), texts_of(item, POSITIVE), texts_of(item, NEGATIVE)))
    return queries


def texts_of(item: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
    """The texts in the fields of an item, each once."""
    values = [item.get(name) or [] for name in names]
    listed = [text for value in values for text in (value if isinstance(value, list) else [value])]
    return list(dict.fromkeys(filter(None, map(passage_of, listed))))


def passage_of(value: Any) -> str:
    """A text with its title."""
    if isinstance(value, Mapping):
        return " ".join(str(value[name]).strip() for name in ("title", "text") if value.get(name))
    return str(value).strip()


def read_beir(folder: Path) -> list[Query]:
    """The judged queries of BEIR's folder: those for training, if there are any. Raises DataError."""
    judgements = [folder / "qrels" / f"{part}.tsv" for part in ("train", "dev", "test")]
    judged = next((file for file in judgements if file.is_file()), None)
    if judged is None or not all((folder / name).is_file() for name in ("corpus.jsonl", "queries.jsonl")):
        raise DataError(f"{folder} is a folder; it must be a table, or {DATA_FORMAT}.")
    corpus, texts = (
        {str(item.get("_id")): passage_of(item) for item in read_json(folder / name) if isinstance(item, dict)}
        for name in ("corpus.jsonl", "queries.jsonl")
    )
    queries: dict[str, Query] = {}
    table = read_table(judged, JUDGEMENTS)
    for number, row in enumerate(table.rows, 1):
        query, passage, score = (table.text(row, role.name) for role in JUDGEMENTS)
        if query not in texts or passage not in corpus or not is_number(score):
            raise DataError(f"{judged}, row {number}: there is no query {query!r}, no text {passage!r} or no score.")
        example = queries.setdefault(query, Query(texts[query], [], []))
        (example.positives if float(score) > 0 else example.negatives).append(corpus[passage])
    return list(queries.values())
