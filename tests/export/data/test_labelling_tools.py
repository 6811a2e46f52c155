from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hearth_build.data import entities, labelled_texts


def texts(folder: Path, *items: dict[str, Any]) -> list[tuple[object, object]]:
    (folder / "a.json").write_text(json.dumps(items))
    return [(example.inputs, example.expected) for example in labelled_texts.read(folder / "a.json")]


def label_studio(text: str, *choices: str, **fields: Any) -> dict[str, Any]:
    result = {"from_name": "mood", "to_name": "text", "type": "choices", "value": {"choices": list(choices)}}
    return {"id": 1, "data": {"text": text}, "annotations": [{"result": [result], **fields}], "predictions": []}


def test_choices_of_label_studio_are_labels(tmp_path: Path) -> None:
    skipped = label_studio("skipped", "bad", was_cancelled=True)
    nobody = {"id": 4, "data": {"text": "nobody's"}, "annotations": []}
    items = [label_studio("fine", "good"), skipped, nobody, label_studio("loud", "bad")]
    assert texts(tmp_path, *items) == [("fine", "good"), ("loud", "bad")]
    items = [label_studio("fine", "good"), label_studio("loud", "bad", "noise")]
    assert texts(tmp_path, *items) == [("fine", ("good",)), ("loud", ("bad", "noise"))]
    items = [{"id": 1, "text": "fine", "choice": {"choices": ["a", "b"]}}, {"id": 2, "text": "loud", "choice": "a"}]
    assert texts(tmp_path, *items) == [("fine", ("a", "b")), ("loud", ("a",))]


def test_one_label_in_a_list_is_one_label(tmp_path: Path) -> None:
    items = [{"id": 1, "text": "fine", "label": ["good"]}, {"id": 2, "text": "loud", "label": ["bad"]}]
    assert texts(tmp_path, *items) == [("fine", "good"), ("loud", "bad")]


def test_what_was_rejected_in_prodigy_is_no_label(tmp_path: Path) -> None:
    fine = {"text": "fine", "label": "good", "answer": "accept"}
    items = [fine, {"text": "loud", "label": "good", "answer": "reject"}, {**fine, "answer": "ignore"}]
    assert texts(tmp_path, *items) == [("fine", "good"), ("loud", "not good")]
    assert texts(tmp_path, *items, {**fine, "label": "bad"}) == [("fine", "good"), ("fine", "bad")]
    options = [{"id": "good", "text": "Good"}, {"id": "bad", "text": "Bad"}]
    items = [{"text": "fine", "options": options, "accept": ["good"], "answer": "accept"}]
    assert texts(tmp_path, *items) == [("fine", "good")]


def test_entities_are_those_of_labelled_texts(tmp_path: Path) -> None:
    value = {"start": 0, "end": 4, "text": "Anna", "labels": ["PER"]}
    annotation = {"result": [{"from_name": "ner", "type": "labels", "value": value}]}
    items: list[Any] = [
        {"data": {"id": "a1", "body": "Anna left"}, "annotations": [{"was_cancelled": True, "result": []}, annotation]},
        {"data": {"id": "a2", "body": "Nobody looked"}, "annotations": []},
        {"id": 3, "body": "Anna came", "ner": [value], "annotator": 1},
    ]
    (tmp_path / "a.json").write_text(json.dumps(items))
    spans = [[0, 4, "PER"]]
    assert [(item.inputs, item.expected) for item in entities.read(tmp_path / "a.json")] == [
        ("Anna left", spans),
        ("Anna came", spans),
    ]


def test_csv_of_label_studio_and_doccano_is_read(tmp_path: Path) -> None:
    choices = '{"choices":["good","noise"]}'.replace('"', '""')
    (tmp_path / "a.csv").write_text(f'annotation_id,id,mood,text\n1,1,good,fine\n2,2,"{choices}",loud\n')
    examples = labelled_texts.read(tmp_path / "a.csv", {"label": "mood"})
    assert [(example.inputs, example.expected) for example in examples] == [
        ("fine", ("good",)),
        ("loud", ("good", "noise")),
    ]
    (tmp_path / "b.csv").write_text("id,data,label\n1,fine,good\n2,loud,bad\n")
    assert [example.inputs for example in labelled_texts.read(tmp_path / "b.csv")] == ["fine", "loud"]
