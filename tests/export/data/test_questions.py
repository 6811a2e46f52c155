from __future__ import annotations

import json
from pathlib import Path

import pytest

from hearth_build.data import questions

ITEM = {"question": "When?", "context": "at five, at nine", "answers": {"text": ["at nine"], "answer_start": [9]}}
ARTICLE = {
    "paragraphs": [{"context": ITEM["context"], "qas": [{"question": "When?", "answers": [{"text": "at nine"}]}]}]
}


@pytest.mark.parametrize("document", [[ITEM], {"data": [ITEM]}, {"data": [ARTICLE]}])
def test_json_has_articles_or_questions(document: object, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(document))
    (example,) = questions.read(tmp_path / "a.json")
    assert example.expected == [("at nine", 9)]


@pytest.mark.parametrize(
    "cell",
    [
        json.dumps(ITEM["answers"]),
        "{'text': ['at nine'], 'answer_start': [9]}",
        "{'text': array(['at nine'], dtype=object), 'answer_start': array([9])}",
        "at nine",
    ],
)
def test_answers_in_a_cell_are_read(cell: str, tmp_path: Path) -> None:
    quoted = cell.replace('"', '""')
    (tmp_path / "a.csv").write_text(f'question,context,answers\nWhen?,"at five, at nine","{quoted}"\n')
    assert questions.read(tmp_path / "a.csv")[0].expected == [("at nine", 9)]


def test_a_column_says_where_an_answer_is(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,context,answer,answer_start\nWhen?,five or five,five,8\n")
    assert questions.read(tmp_path / "a.csv")[0].expected == [("five", 8)]
