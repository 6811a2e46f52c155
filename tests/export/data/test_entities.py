"""Entities of CoNLL files and of labelling tools; rows of tables with the column to predict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hearth_build.data import entities, labelled_rows
from hearth_build.data.datasets import DataError
from hearth_build.data.report import language_of

TEXT = "Anna Berg lives in Oslo."
SPANS = [[0, 9, "PER"], [19, 23, "LOC"]]
FORMS: dict[str, dict[str, Any]] = {
    "Doccano": {"id": 1, "text": TEXT, "label": [[0, 10, "PER"], [19, 23, "LOC"]]},
    "Doccano with relations": {
        "text": TEXT,
        "entities": [
            {"id": 1, "label": "PER", "start_offset": 0, "end_offset": 9},
            {"id": 2, "label": "LOC", "start_offset": 18, "end_offset": 23},
        ],
    },
    "Prodigy": {
        "text": TEXT,
        "spans": [{"start": 0, "end": 9, "label": "PER"}, {"start": 19, "end": 23, "label": "LOC"}],
        "answer": "accept",
    },
    "Label Studio": {
        "data": {"text": TEXT},
        "annotations": [
            {
                "result": [
                    {"type": "labels", "value": {"start": 19, "end": 23, "labels": ["LOC"]}},
                    {"type": "labels", "value": {"start": 0, "end": 9, "labels": ["PER"]}},
                    {"type": "choices", "value": {"choices": ["news"]}},
                ]
            }
        ],
    },
    "tokens": {
        "tokens": ["Anna", "Berg", "lives", "in", "Oslo."],
        "ner_tags": ["B-PER", "I-PER", "O", "O", "O"],
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_labelling_tools_are_read(form: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\ufeff" + json.dumps(FORMS[form]) + "\n", encoding="utf-8")
    (tmp_path / "a.json").write_text(json.dumps([FORMS[form]]), encoding="utf-8")
    for name in ("a.jsonl", "a.json"):
        (example,) = entities.read(tmp_path / name)
        assert example.inputs == TEXT
        assert example.expected == (SPANS[:1] if form == "tokens" else SPANS)


def test_a_span_outside_its_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "Oslo", "label": [[0, 9, "LOC"]]}))
    with pytest.raises(DataError, match="item 1 has the span"):
        entities.read(tmp_path / "a.jsonl")


def test_rows_have_missing_values_and_numbers_of_other_countries(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('age;city;price\n"3,5";Rome;"1,5"\nNA;"Oslo, west";"2,0"\n', encoding="utf-8")
    first, second = labelled_rows.read(tmp_path / "a.csv")
    assert (first.inputs, first.expected) == ({"age": "3.5", "city": "Rome"}, "1.5")
    assert second.inputs == {"age": None, "city": "Oslo, west"}
    assert labelled_rows.read(tmp_path / "a.csv", {"target": "City"})[0].expected == "Rome"
    (tmp_path / "b.csv").write_text("a,a,target\n1,2,x\n")
    with pytest.raises(DataError, match="several columns named 'a'"):
        labelled_rows.read(tmp_path / "b.csv")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The room was large and it is in the centre of the town", "English"),
        ("Das Zimmer war groß und es ist nicht weit von der Stadt", "German"),
        ("酒店房间挺大，设施还可以", "Chinese"),
        ("とても良いホテルでした", "Japanese"),
        ("xqz bgt plm", "unknown language"),
    ],
)
def test_languages_are_recognised(text: str, language: str) -> None:
    assert language_of([text]) == language
