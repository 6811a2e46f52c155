from __future__ import annotations

from pathlib import Path

import pytest

from hearth_build.data import labelled_texts
from hearth_build.data.datasets import DataError


def test_unknown_headers_are_recognised_by_what_is_below_them(tmp_path: Path) -> None:
    file = tmp_path / "kommentare.csv"
    file.write_text("Bewertung;Kommentar\n" + "gut;schön hier und ruhig\nschlecht;laut und viel zu teuer\n" * 4)
    examples = labelled_texts.read(file)
    assert (len(examples), examples[0].expected) == (8, "gut")


def test_columns_that_cannot_be_guessed_are_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("id,text,one,two\n1,a b,x,y\n2,c d,x,y\n")
    with pytest.raises(DataError, match=r"--column label=NAME.*'id', 'text', 'one', 'two'"):
        labelled_texts.read(file)
    assert labelled_texts.read(file, {"label": "TWO"})[0].expected == "y"
    with pytest.raises(DataError, match="no column 'three'"):
        labelled_texts.read(file, {"label": "three"})


def test_columns_of_zeros_and_ones_are_labels(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id;comment;rude;loud\n1;one;1;0\n2;two;0;0\n3;three;1;1\n")
    rows = labelled_texts.read(tmp_path / "a.csv", {"text": "comment"})
    assert [(example.inputs, example.expected) for example in rows] == [
        ("one", ("rude",)),
        ("two", ()),
        ("three", ("rude", "loud")),
    ]
    (tmp_path / "b.csv").write_text("text,label,checked,new\none,0,1,0\ntwo,1,0,1\n")
    assert [example.expected for example in labelled_texts.read(tmp_path / "b.csv")] == ["0", "1"]


def test_rows_with_more_fields_than_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nfine,1\nI like it, really,1\n")
    with pytest.raises(DataError, match=r"row 2 \('I like it  really 1'\) has 3 fields, but there are 2 columns\. Put"):
        labelled_texts.read(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("text,rude,loud\nfine,1,0\nso, so,1,1\n")
    with pytest.raises(DataError, match="row 2"):
        labelled_texts.read(tmp_path / "b.csv")
