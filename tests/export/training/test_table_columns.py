from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hearth_build.data.datasets import DataError
from hearth_build.data.report import DataReport
from hearth_build.recipe import Example
from hearth_build.training.table_columns import TableColumns, describe_leaks, find_columns


def examples(**columns: Sequence[Any]) -> list[Example]:
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return [Example(row, "A", f"row {number}") for number, row in enumerate(rows, 1)]


AGES = [20 + number % 40 for number in range(60)]


@pytest.mark.parametrize(
    ("name", "values"),
    [("CustomerId", range(1000, 1420, 7)), ("customer_id", range(1000, 1420, 7)), ("number", range(60))],
)
def test_identifiers_are_left_out(name: str, values: Sequence[int]) -> None:
    report = DataReport()
    assert find_columns(examples(**{name: values}, Age=AGES), report) == TableColumns(numbers=("Age",))
    assert report.warnings == [f"column {name!r} is left out: it numbers the rows"]


@pytest.mark.parametrize(("name", "values"), [("paid", range(1000, 1420, 7)), ("bid", range(1000, 1420, 7))])
def test_numbers_that_are_different_in_each_row_are_kept(name: str, values: Sequence[int]) -> None:
    assert find_columns(examples(**{name: values}), DataReport()).numbers == (name,)


def test_a_text_among_numbers_is_named() -> None:
    report = DataReport()
    assert find_columns(examples(Age=["many", *[20, 30] * 20]), report) == TableColumns(texts=("Age",))
    assert "column 'Age' has texts among its numbers, for example 'many'" in report.warnings[0]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([f"A long review, number {number}" for number in range(60)], "60 different texts or dates are no categories"),
        (["here"] * 60, "it has the same value in all rows"),
    ],
)
def test_columns_that_cannot_be_learnt_from_are_left_out(values: Sequence[str], reason: str) -> None:
    report = DataReport()
    assert find_columns(examples(Age=AGES, Review=values), report).names == ("Age",)
    assert f"column 'Review' is left out: {reason}" in report.warnings[0]
    with pytest.raises(DataError, match="No column is left to predict from"):
        find_columns(examples(Review=values), DataReport())


def test_the_report_counts_missing_values() -> None:
    report = DataReport()
    find_columns(examples(Age=[None, *AGES], Paid=["yes", None] * 30 + ["no"]), report)
    assert report.facts == ["61 rows; numbers: Age; categories: Paid; 31 missing values"]


def test_missing_values_are_nan_and_empty_texts() -> None:
    columns = TableColumns(("Age",), ("Paid",))
    feeds = columns.feeds(columns.values(examples(Paid=[None, True], Age=[0.1, None])))
    assert feeds["numbers"].dtype == np.float32
    np.testing.assert_array_equal(feeds["numbers"], np.array([[0.1], [np.nan]], np.float32))
    assert feeds["texts"].tolist() == [[""], ["True"]]


def test_a_graph_has_no_input_without_columns() -> None:
    columns = TableColumns(texts=("Paid",))
    assert list(columns.feeds(columns.values(examples(Paid=["yes", "no"])))) == ["texts"]


def test_a_column_that_gives_the_label_is_named() -> None:
    rows = [Example({"Port": number % 3, "Age": number % 7}, "AB"[number % 3 == 0], "") for number in range(60)]
    report = DataReport()
    describe_leaks(rows, report)
    assert report.warnings == ["column 'Port' alone gives the label: is it known before the label is?"]
