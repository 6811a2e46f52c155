from __future__ import annotations

import json
import zipfile
from pathlib import Path

from hearth_build.data import labelled_texts


def test_several_labels_are_tuples(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "x", "labels": ["a", "b"]}) + '\n{"text": "y", "labels": []}')
    assert [example.expected for example in labelled_texts.read(tmp_path / "a.jsonl")] == [("a", "b"), ()]
    (tmp_path / "a.csv").write_text("text,labels\nx,a|b\ny,a\nz,b\nw,b|a\n")
    assert labelled_texts.read(tmp_path / "a.csv")[0].expected == ("a", "b")
    (tmp_path / "b.csv").write_text('text,label\nx,"Rome, Italy"\ny,"Rome, Italy"\nz,Oslo\n')
    assert labelled_texts.read(tmp_path / "b.csv")[0].expected == "Rome, Italy"


def test_labels_that_programs_write_for_missing_ones_are_empty(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\none,nan\ntwo,#N/A\nthree,a\n")
    assert [example.expected for example in labelled_texts.read(tmp_path / "a.csv")] == ["", "", "a"]
    (tmp_path / "a.jsonl").write_text('{"text": "one", "label": NaN}\n{"text": "two", "label": 1.0}\n')
    assert [example.expected for example in labelled_texts.read(tmp_path / "a.jsonl")] == ["", "1"]


def test_texts_in_folders_may_be_packed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("train/good/1.txt", "train/bad/2.txt", "train/urls.txt"):
            archive.writestr(name, name)
    assert [example.expected for example in labelled_texts.read(tmp_path / "a.zip")] == ["bad", "good", ""]


def test_lists_of_labels_in_cells_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,labels\na,\"['x', 'y']\"\nb,\"['x']\"\nc,[]\n")
    assert [example.expected for example in labelled_texts.read(tmp_path / "a.csv")] == [("x", "y"), ("x",), ()]
    (tmp_path / "a.csv").write_text("text,label\na,[not a list]\nb,[x]\n")
    assert [example.expected for example in labelled_texts.read(tmp_path / "a.csv")] == ["[not a list]", "[x]"]
