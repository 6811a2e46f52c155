from __future__ import annotations

import json
from pathlib import Path

import pytest

from hearth_build.data import labelled_images, labelled_texts
from hearth_build.data.datasets import DataError

ROWS = [("A fine, calm hotel", "good"), ('They said "never again"', "bad"), ("Two\nlines", "good"), ("Loud", "bad")]


def quoted(delimiter: str, newline: str = "\n", header: tuple[str, str] = ("Text", "LABEL")) -> str:
    lines = [delimiter.join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row) for row in [header, *ROWS]]
    return newline.join(lines) + newline


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_of_spreadsheets_are_read(delimiter: str, encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "reviews.csv"
    file.write_bytes(quoted(delimiter, "\r\n").encode(encoding))
    examples = labelled_texts.read(file)
    assert [(example.inputs, example.expected) for example in examples] == ROWS


def test_xlsx_jsonl_and_parquet_are_read_as_csv(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    book = openpyxl.Workbook()
    for row in [("Review", "Stars"), ("fine", 5), ("bad", 1.0), (None, None)]:
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    (tmp_path / "a.jsonl").write_text('{"review": "fine", "stars": 5}\n\n{"review": "bad", "stars": 1.0}\n')
    parquet.write_table(pyarrow.table({"review": ["fine", "bad"], "stars": [5, 1]}), tmp_path / "a.parquet")
    for suffix in ("xlsx", "jsonl", "parquet"):
        examples = labelled_texts.read(tmp_path / f"a.{suffix}")
        assert [(example.inputs, example.expected) for example in examples] == [("fine", "5"), ("bad", "1")]


def test_quotation_marks_within_texts_do_not_swallow_lines(tmp_path: Path) -> None:
    file = tmp_path / "plain.tsv"
    file.write_text('"A" is what they said\t1\nnothing to add\t0\n"open and never closed\t1\nlast\t0\n')
    assert [example.expected for example in labelled_texts.read(file)] == ["1", "0", "1", "0"]


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


def test_several_labels_are_tuples(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "x", "labels": ["a", "b"]}) + '\n{"text": "y", "labels": []}')
    assert [example.expected for example in labelled_texts.read(tmp_path / "a.jsonl")] == [("a", "b"), ()]
    (tmp_path / "a.csv").write_text("text,labels\nx,a|b\ny,a\nz,b\nw,b|a\n")
    assert labelled_texts.read(tmp_path / "a.csv")[0].expected == ("a", "b")
    (tmp_path / "b.csv").write_text('text,label\nx,"Rome, Italy"\ny,"Rome, Italy"\nz,Oslo\n')
    assert labelled_texts.read(tmp_path / "b.csv")[0].expected == "Rome, Italy"


def test_other_encodings_are_named_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("text,label\nfine,1\nschön,1\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"line 3, is not UTF-8\. Save"):
        labelled_texts.read(tmp_path / "a.csv")


def test_hidden_files_are_skipped_in_class_folders(tmp_path: Path) -> None:
    for name in ("cat/a.jpg", "cat/.DS_Store", "cat/Thumbs.db", "dog/b.PNG", ".git/x.jpg", "notes.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [example.expected for example in labelled_images.read(tmp_path)] == ["cat", "dog"]


def test_missing_images_of_a_table_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "list.csv").write_text("file,class\na.jpg,cat\nb.jpg,dog\n")
    with pytest.raises(DataError, match=r"1 of the 2 images .*: b\.jpg"):
        labelled_images.read(tmp_path / "list.csv")


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
