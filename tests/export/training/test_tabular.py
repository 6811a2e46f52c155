from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from hearth_build.data.datasets import DataError
from hearth_build.training import tabular
from hearth_build.training.candidates import Session
from hearth_build.training.plan import Plan
from tests.export.training.running import train_on, write_csv

ROWS = [f"{1000 + 7 * number},{number % 40 + 20},{'AB'[number % 2]},{number % 3}" for number in range(60)]
HEADER = "CustomerId,Age,Paid,Port"


def read(folder: Path, *rows: str, header: str = HEADER, test: str = "", **columns: str) -> tabular.TableData:
    (folder / "a.csv").write_text("\n".join([header, *rows]))
    plan = Plan(task="tabular-classification", name="tiny", data=str(folder / "a.csv"), test=test, columns=columns)
    return tabular.read(Session(plan, folder / "work", ""))


def test_the_report_names_the_column_that_is_predicted(tmp_path: Path) -> None:
    report = read(tmp_path, *ROWS).report
    assert "Predicts the column 'Port'" in report.facts
    assert any("it is the last column" in warning for warning in report.warnings)
    report = read(tmp_path, *ROWS, target="paid").report
    assert "Predicts the column 'Paid'" in report.facts
    assert not any("it is the last column" in warning for warning in report.warnings)


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("Age,Port", "30,1", "has no column 'Paid', which --data has"),
        ("CustomerId,Age,Paid", "1,30,A", "has no column 'Port'"),
        (HEADER, "1,old,A,1", "row 1: Age is 'old', but a number in --data"),
    ],
)
def test_test_data_with_other_columns_are_refused(header: str, row: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("\n".join([header, row, *[row.replace("1", "2")] * 30, *[row] * 30]))
    with pytest.raises(DataError, match=message):
        read(tmp_path, *ROWS, test=str(tmp_path / "test.csv"))


@pytest.mark.parametrize("task", ["tabular-classification", "tabular-regression"])
def test_tables(task: str, tmp_path: Path) -> None:
    generator = random.Random(1)
    rows: list[list[Any]] = [["id", "age", "city", "bought"]]
    for number in range(120):
        age, city = generator.uniform(18, 80), generator.choice(["Rome", "Oslo"])
        value = 2 * age + (30 if city == "Rome" else 0)
        target = f"{value:.1f}".replace(".", ",") if task == "tabular-regression" else str(value > 120)
        rows.append([number, "" if number % 10 == 0 else f"{age:.1f}".replace(".", ","), city, target])
    data = write_csv(tmp_path / "customers.csv", rows)
    manifest, answer = train_on(task, data, tmp_path / "work")
    assert [column.name for column in manifest.preprocessing.columns] == ["age", "city"]  # type: ignore[union-attr]
    young, old = ([{"age": age, "city": "Rome"}] for age in (20, 75))
    if task == "tabular-regression":
        assert float(answer(young)) < float(answer(old))
    else:
        assert (answer(young), answer(old)) == ("False", "True")
