from __future__ import annotations

import json
from pathlib import Path

import pytest

from hearth_build.data import labelled_rows, labelled_texts
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


def test_other_encodings_are_named_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("text,label\nfine,1\nschön,1\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"line 3, is not UTF-8\. Save"):
        labelled_texts.read(tmp_path / "a.csv")


def test_the_line_that_names_the_delimiter_to_excel_is_no_header(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sep=;\r\ntext;label\r\nfine, really;1\r\nbad;0\r\n")
    examples = labelled_texts.read(tmp_path / "a.csv")
    assert [(example.inputs, example.expected) for example in examples] == [("fine, really", "1"), ("bad", "0")]


def test_commas_within_numbers_are_no_delimiters(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,5;2,5;A\n2,5;3,5;B\n")
    rows = labelled_rows.read(tmp_path / "a.csv")
    assert [(list(row.inputs.values()), row.expected) for row in rows] == [(["1.5", "2.5"], "A"), (["2.5", "3.5"], "B")]


@pytest.mark.parametrize(
    "name_text",
    [
        ("a.json", '{"text": "fine", "label": 1}\n{"text": "bad", "label": 0}\n'),
        ("a.jsonl", '[{"text": "fine", "label": 1},\n {"text": "bad", "label": 0}]'),
        ("a.json", '{"text": ["fine", "bad"], "label": [1, 0]}'),
        ("a.json", '{"text": {"0": "fine", "1": "bad"}, "label": {"0": 1, "1": 0}}'),
        ("a.json", '{"version": 1, "data": [{"text": "fine", "label": 1}, {"text": "bad", "label": 0}]}'),
    ],
)
def test_json_is_read_in_each_form(name_text: tuple[str, str], tmp_path: Path) -> None:
    file = tmp_path / name_text[0]
    file.write_text(name_text[1])
    examples = labelled_texts.read(file)
    assert [(example.inputs, example.expected) for example in examples] == [("fine", "1"), ("bad", "0")]


def test_titles_cover_sheets_and_empty_columns_of_spreadsheets_are_skipped(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["All reviews of May"])
    book.active.append(["made by the front desk"])
    sheet = book.create_sheet("May")
    for row in [("Reviews",), (), ("Nights", "Guest", "Grade", ""), (3, "alone", "good"), (2, "family", "bad", None)]:
        sheet.append(row)
    book.save(tmp_path / "a.xlsx")
    rows = labelled_rows.read(tmp_path / "a.xlsx")
    assert [(row.inputs, row.expected) for row in rows] == [
        ({"Nights": 3, "Guest": "alone"}, "good"),
        ({"Nights": 2, "Guest": "family"}, "bad"),
    ]


def test_several_sheets_with_the_same_columns_are_refused(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for sheet in (book.active, book.create_sheet("test")):
        for row in [("text", "label"), ("fine", 1)]:
            sheet.append(row)
    book.save(tmp_path / "a.xlsx")
    with pytest.raises(DataError, match="several sheets with the same columns: 'Sheet', 'test'"):
        labelled_texts.read(tmp_path / "a.xlsx")


def test_numbers_of_classes_in_hugging_face_parquet_files_are_read_as_their_names(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    classes = {"names": ["bad", "good"], "_type": "ClassLabel"}
    features = {"text": {"dtype": "string", "_type": "Value"}, "label": classes}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    table = pyarrow.table({"text": ["fine", "loud", "hidden"], "label": [1, 0, -1]}).replace_schema_metadata(metadata)
    parquet.write_table(table, tmp_path / "a.parquet")
    assert [example.expected for example in labelled_texts.read(tmp_path / "a.parquet")] == ["good", "bad", ""]


def test_lines_above_a_table_are_skipped(tmp_path: Path) -> None:
    rows = "fine, really;1\nbad;0\n" * 4
    (tmp_path / "a.csv").write_text(f"Reviews of May\nmade by the front desk\n\ntext;label\n{rows}")
    assert [example.expected for example in labelled_texts.read(tmp_path / "a.csv")] == ["1", "0"] * 4


def test_unicode_without_its_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("text,label\nschön,1\nlaut,0\n".encode("utf-16-le"))
    assert labelled_texts.read(tmp_path / "a.csv")[0].inputs == "schön"


def test_quotation_marks_behind_a_backslash_are_part_of_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('id\tlabel\ttext\n"1"\t1\t"a \\"fine\\"\nroom"\n"2"\t0\t"loud"\n')
    examples = labelled_texts.read(tmp_path / "a.tsv")
    assert [(example.inputs, example.expected) for example in examples] == [('a "fine"\nroom', "1"), ("loud", "0")]


def test_files_of_other_programs_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.xls").write_bytes(b"\xd0\xcf\x11\xe0")
    with pytest.raises(DataError, match="save it as CSV UTF-8, XLSX"):
        labelled_texts.read(tmp_path / "a.xls")
