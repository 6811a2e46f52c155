"""Questions with the texts that answer them: SQuAD's JSON, and tables of its questions as other tools write them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hearth_build.data.datasets import DataError
from hearth_build.data.table_files import parse_literal
from hearth_build.data.tables import GROUP, NO_COLUMNS, TIME, Columns, Role, is_number, read_table
from hearth_build.recipe import Example

DATA_FORMAT = (
    'a JSON file like SQuAD\'s, {"data": [{"paragraphs": [{"context", "qas": [{"question", "answers": [{"text", '
    '"answer_start"}]}]}]}]}; or JSON lines, Parquet, CSV or XLSX with `question`, `context` and `answers`, a text or '
    '{"text": […], "answer_start": […]}'
)
ROLES = (
    Role("question", ("question", "query")),
    Role("context", ("context", "passage", "paragraph", "text", "document")),
    Role("answers", ("answers", "answer", "answer_text")),
    Role("answer_start", ("answer_start", "start"), required=False),
    GROUP,
    TIME,
)


class Answer(NamedTuple):
    text: str
    start: int
    """Offset in the context; -1 if the text does not occur there."""


def read(path: Path, columns: Columns = NO_COLUMNS) -> list[Example]:
    """Read examples; `expected` are the possible answers, none if the context has no answer. Raises DataError."""
    if path.suffix.lower() == ".json" and not columns and is_squad(path):
        return read_squad(path)
    table = read_table(path, ROLES, columns)
    return [
        example_of(
            table.text(row, "question"),
            str(table.value(row, "context") or ""),
            with_start(answers_of(table.value(row, "answers")), table.text(row, "answer_start")),
            f"row {number}",
            table.text(row, "group"),
            table.text(row, "time"),
        )
        for number, row in enumerate(table.rows, 1)
    ]


def is_squad(path: Path) -> bool:
    """Whether a JSON file has articles with paragraphs, not a question in each item."""
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return False
    articles = document.get("data") if isinstance(document, dict) else None
    return isinstance(articles, list) and any(isinstance(item, dict) and "paragraphs" in item for item in articles)


def read_squad(path: Path) -> list[Example]:
    try:
        articles = json.loads(path.read_text(encoding="utf-8-sig"))["data"]
        return [
            example_of(
                question["question"],
                paragraph["context"],
                [] if question.get("is_impossible") else [pair_of(answer) for answer in question["answers"]],
                str(question.get("id") or f"question {number}"),
            )
            for article in articles
            for paragraph in article["paragraphs"]
            for number, question in enumerate(paragraph["qas"], 1)
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} cannot be read ({error!r}); it must be {DATA_FORMAT}.") from None


def answers_of(value: Any) -> list[tuple[str, int | None]]:
    """Texts and offsets of a cell: a text, a list of texts or of SQuAD's answers, or an object of two lists."""
    if isinstance(value, str):
        if value[:1] in ("{", "["):  # a value of JSON or of Python in a spreadsheet
            try:
                return answers_of(parse_literal(value))
            except ValueError:
                pass
        return [(value.strip(), None)] if value.strip() else []
    if isinstance(value, Mapping):
        if isinstance(value.get("text"), str):
            return [pair_of(value)]
        texts = list(value.get("text") or ())
        starts = list(value.get("answer_start") or ())
        return list(zip(texts, starts or [None] * len(texts), strict=False))
    if isinstance(value, Sequence):
        return [pair for item in value for pair in answers_of(item)]
    return []


def with_start(answers: list[tuple[str, int | None]], start: str) -> list[tuple[str, int | None]]:
    """The answers with the offset of a column of its own, if there is one."""
    return [(answers[0][0], int(float(start)))] if len(answers) == 1 and is_number(start) else answers


def pair_of(answer: Mapping[str, Any]) -> tuple[str, int | None]:
    start = answer.get("answer_start")
    return answer["text"], None if start is None else int(start)


def example_of(
    question: str,
    context: str,
    answers: Sequence[tuple[str, int | None]],
    name: str,
    group: str = "",
    time: str = "",
) -> Example:
    expected = [Answer(text, place(context, text, start)) for text, start in answers if text]
    return Example({"question": question.strip(), "context": context}, expected, name, group, time)


def place(context: str, text: str, start: int | None) -> int:
    """The offset of an answer in its context: where it is said to be, or else where it first occurs; -1: nowhere."""
    if start is not None and context[start : start + len(text)] == text:
        return start
    return context.find(text)
