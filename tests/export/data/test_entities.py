"""Entities of CoNLL files and of labelling tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hearth_build.data import entities
from hearth_build.data.datasets import DataError

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


@pytest.mark.parametrize(
    "lines",
    [
        ["-DOCSTART-", "", "Anna B-PER", "Berg I-PER", "left O"],
        ["-DOCSTART- -X- O", "Anna -X- _ B-PER", "Berg -X- _ I-PER", "left -X- _ O"],
        ["# id 12 domain=en", "Anna\tB-PER", "Berg\tL-PER", "left\tO"],
        ["# O", "", "Anna B-PER", "Berg I-PER", "left O"],
    ],
)
def test_conll_is_read_as_tools_write_it(lines: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("\n".join(lines))
    example = entities.read(tmp_path / "a.conll")[-1]
    assert (example.inputs, example.expected) == ("Anna Berg left", [[0, 9, "PER"]])


def test_tags_without_a_scheme_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("Acme ORG\nsells O\n")
    with pytest.raises(DataError, match="line 1 is 'Acme ORG'"):
        entities.read(tmp_path / "a.conll")
    (tmp_path / "a.jsonl").write_text('{"tokens": ["Acme"], "ner_tags": [3]}')
    with pytest.raises(DataError, match="item 1 has the tag 3; tags must be names"):
        entities.read(tmp_path / "a.jsonl")


def test_tags_in_hugging_face_parquet_files_are_read_by_their_names(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    tags = {"feature": {"names": ["O", "B-PER", "I-PER"], "_type": "ClassLabel"}, "_type": "Sequence"}
    metadata = {b"huggingface": json.dumps({"info": {"features": {"ner_tags": tags}}}).encode()}
    table = pyarrow.table({"tokens": [["Anna", "Berg", "left"], None], "ner_tags": [[1, 2, 0], None]})
    parquet.write_table(table.replace_schema_metadata(metadata), tmp_path / "a.parquet")
    assert [example.expected for example in entities.read(tmp_path / "a.parquet")] == [[[0, 9, "PER"]]]


def test_spacy_examples_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([[TEXT, {"entities": [[0, 9, "PER"], [19, 23, "LOC"]]}]]))
    assert entities.read(tmp_path / "a.json")[0].expected == SPANS


def test_a_table_has_a_token_in_each_row(tmp_path: Path) -> None:
    lines = [
        "Sentence #,Word,POS,Tag",
        "Sentence: 1,Anna,NNP,B-PER",
        ",Berg,NNP,I-PER",
        ",left,VB,O",
        "Sentence: 2,No,DT,O",
    ]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    assert [(item.inputs, item.expected) for item in entities.read(tmp_path / "a.csv")] == [
        ("Anna Berg left", [[0, 9, "PER"]]),
        ("No", []),
    ]
    (tmp_path / "a.csv").write_text("\n".join([*lines, ",home,NN,place"]))
    with pytest.raises(DataError, match="has the tag 'place' of 'home'"):
        entities.read(tmp_path / "a.csv")


def test_numbers_of_tokens_are_no_tokens(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("1\tAnna\tB-PER\n2\tleft\tO\n\n1\tNo\tO\n")
    assert [(item.inputs, item.expected) for item in entities.read(tmp_path / "a.conll")] == [
        ("Anna left", [[0, 4, "PER"]]),
        ("No", []),
    ]
    (tmp_path / "a.conll").write_text("1 O\n2 O\n")
    assert entities.read(tmp_path / "a.conll")[0].inputs == "12"
