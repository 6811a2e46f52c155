from __future__ import annotations

from pathlib import Path

import pytest

from hearth_build.data import labelled_rows
from hearth_build.data.datasets import DataError


def column(tmp_path: Path, *values: str, other: str = "1") -> list[object]:
    file = tmp_path / "a.tsv"
    lines = ["price\tother\ttarget", *(f"{value}\t{other}\tx" for value in values)]
    file.write_text("\n".join(lines), encoding="utf-8")
    return [row.inputs["price"] for row in labelled_rows.read(file)]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["1.5", "-2", "1e3"], ["1.5", "-2", "1e3"]),
        (["1,5", "2", "0,250"], ["1.5", "2", "0.250"]),
        (["1,234.50", "12"], ["1234.50", "12"]),
        (["1,234", "12,500"], ["1234", "12500"]),
        (["1.234,50", "12,5"], ["1234.50", "12.5"]),
        (["1 234,50", "12\u202f500"], ["1234.50", "12500"]),
        (["1'234.50", "7"], ["1234.50", "7"]),
        (["$1,234.50", "-", "$12"], ["1234.50", None, "12"]),
        (["1.234,50 €", "12 EUR"], ["1.234,50 €", "12 EUR"]),
        (["1.234,50 €", "12 €"], ["1234.50", "12"]),
        (["12%", "7.5 %"], ["12", "7.5"]),
        (["12%", "0.2"], ["12%", "0.2"]),
        (["1,5", "2.5"], ["1.5", "2.5"]),
        (["1", "n.a.", "#N/A", "none", "inf"], ["1", None, None, None, None]),
        (["1", "1e300"], ["1", None]),
        (["E10", "e5"], ["E10", "e5"]),
        (["+", "-"], ["+", "-"]),
        (["none", "mild"], ["none", "mild"]),
        (["12 kg", "13 kg"], ["12 kg", "13 kg"]),
        (["2024-01-31", "1-2"], ["2024-01-31", "1-2"]),
    ],
)
def test_numbers_are_read_as_they_are_written_in_tables(written: list[str], read: list[object], tmp_path: Path) -> None:
    assert column(tmp_path, *written) == read


def test_other_columns_say_what_a_comma_before_three_digits_is(tmp_path: Path) -> None:
    assert column(tmp_path, "1,234", other="2,5") == ["1.234"]
    assert column(tmp_path, "1,234", other="2.5") == ["1234"]
    assert column(tmp_path, "1.234", other="2,5") == ["1234"]
    assert column(tmp_path, "1.234", other="7") == ["1.234"]


def test_none_is_a_label_but_no_number(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("age,pain\n30,none\n40,mild\n50,NA\n")
    assert [row.expected for row in labelled_rows.read(tmp_path / "a.csv")] == ["none", "mild", ""]
    (tmp_path / "b.csv").write_text("age,price\n30,none\n40,2\n50,-\n")
    assert [row.expected for row in labelled_rows.read(tmp_path / "b.csv")] == ["", "2", ""]


def test_rows_have_missing_values_and_numbers_of_other_countries(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('age;city;price\n"3,5";Rome;"1,5"\nNA;"Oslo, west";"2,0"\n', encoding="utf-8")
    first, second = labelled_rows.read(tmp_path / "a.csv")
    assert (first.inputs, first.expected) == ({"age": "3.5", "city": "Rome"}, "1.5")
    assert second.inputs == {"age": None, "city": "Oslo, west"}
    assert labelled_rows.read(tmp_path / "a.csv", {"target": "City"})[0].expected == "Rome"
    (tmp_path / "b.csv").write_text("a,a,target\n1,2,x\n")
    with pytest.raises(DataError, match="several columns named 'a'"):
        labelled_rows.read(tmp_path / "b.csv")
