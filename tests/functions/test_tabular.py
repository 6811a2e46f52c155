"""tabular-classification and tabular-regression: a graph of sums, in all forms of a table, and bad tables."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.manifest import Limits, Tensor
from hearth.models.preprocessing import Column, TablePreprocessing
from hearth_functions.tabular import app

COLUMNS = (Column("age", "numbers"), Column("hours", "numbers"), Column("city", "city"))
INPUTS = (Tensor("numbers", "float32", ("rows", 2)), Tensor("city", "string", ("rows", 1)))


def model(outputs: int = 2) -> Any:
    """Scores: the age, and the hours with ten more in Oslo; or one number, or the sum."""

    def run(feeds: dict[str, Any], role: str = "main") -> list[Any]:
        oslo = (feeds["city"] == "Oslo").astype(np.float32)
        scores = feeds["numbers"] + np.hstack([0 * oslo, 10 * oslo])
        return [scores if outputs == 2 else scores.sum(1, keepdims=True)]

    manifest = SimpleNamespace(
        labels=("old", "busy"),
        activation="none",
        limits=Limits(batch=3),
        graphs={"main": SimpleNamespace(inputs=INPUTS)},
    )
    return SimpleNamespace(manifest=manifest, preprocessing=TablePreprocessing(COLUMNS), run=run)


ROWS = [{"age": 39, "hours": 40.5, "city": "Oslo"}, {"age": 70, "hours": None, "city": "Bergen"}]
TABLES: dict[str, dict[str, Any]] = {
    "rows": {"inputs": ROWS},
    "columns": {"table": {"age": [39, 70], "hours": [40.5, None], "city": ["Oslo", "Bergen"]}},
    "data": {"inputs": {"data": {"age": [39, 70], "hours": ["40.5", None], "city": ["Oslo", "Bergen"]}}},
    "CSV": {"inputs": "city,hours,age\nOslo,40.5,39\nBergen,,70\n"},
    "CSV with semicolons": {"inputs": "\ufeffcity;hours;age\r\nOslo;40.5;39\r\nBergen;;70\r\n"},
}


def classify(document: dict[str, Any], served: Any = None) -> Any:
    request = msgspec.convert(document, app.ClassificationRequest)
    return app.predict(served or model(), request).output


@pytest.mark.parametrize("document", TABLES.values(), ids=TABLES)
def test_a_table_in_any_form_has_a_label_for_each_row(document: dict[str, Any]) -> None:
    rows = classify({**document, "parameters": {"top_k": 2}})
    assert [(item.label, item.score) for item in rows[0]] == [("busy", 50.5), ("old", 39.0)]
    assert rows[1][0].label == "old" or np.isnan(rows[1][0].score)  # a missing number reaches the graph as NaN


def test_the_best_label_alone() -> None:
    assert classify({"inputs": [ROWS[0], {"age": 70, "hours": 1, "city": "Oslo"}]}) == ["busy", "old"]


def test_regression_gives_one_number_or_several() -> None:
    request = msgspec.convert({"inputs": ROWS[:1]}, app.RegressionRequest)
    assert app.predict_numbers(model(1), request).output == [89.5]
    assert app.predict_numbers(model(2), request).output == [[39.0, 50.5]]
    missing = msgspec.convert({"inputs": ROWS[1:]}, app.RegressionRequest)
    with pytest.raises(BadRequest, match="answers NaN"):
        app.predict_numbers(model(1), missing)


@pytest.mark.parametrize(
    ("document", "error", "message"),
    [
        ({"inputs": [{"age": 1, "hours": 2}]}, BadRequest, "column `?'?city"),
        ({"inputs": [{**ROWS[0], "age": "many"}]}, BadRequest, "must have numbers; a missing value is null"),
        ({"inputs": ROWS * 2}, PayloadTooLarge, "has 4 rows; 3 are allowed"),
        ({"inputs": {"data": {"age": [1], "hours": [1, 2], "city": ["a"]}}}, BadRequest, "same number of values"),
        ({"inputs": {"data": {"age": [], "hours": [], "city": []}}}, BadRequest, "table is empty"),
        ({"inputs": "age,hours,city\n1,2\n"}, BadRequest, "must be CSV"),
        ({}, BadRequest, "either `inputs` or `table`"),
    ],
)
def test_tables_that_do_not_fit_are_refused(document: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        classify(document)


def test_integers_must_be_whole() -> None:
    tensor = Tensor("x", "int64", ("rows", 1))
    assert app.convert_column(tensor, "x", [1, 2.0, True]).tolist() == [1, 2, 1]
    with pytest.raises(BadRequest, match="none of them missing"):
        app.convert_column(tensor, "x", [1, None])
    vast = 2**53 + 1  # no float
    values = app.convert_column(tensor, "x", [vast, str(vast), f" -{vast} ", "7", "7.0"])
    assert values.tolist() == [vast, vast, -vast, 7, 7]
    for value in (2**63, "9" * 5000):
        with pytest.raises(BadRequest, match="must have integers"):
            app.convert_column(tensor, "x", [value])
    with pytest.raises(BadRequest, match="must have integers"):
        app.convert_column(tensor, "x", [1.5])
