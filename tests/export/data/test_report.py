from __future__ import annotations

from pathlib import Path

import pytest

from hearth_build.data.datasets import DataError
from hearth_build.data.report import (
    DataReport,
    describe_beginnings,
    describe_conflicts,
    describe_labels,
    describe_parts,
    language_of,
    usable_labels,
)
from hearth_build.recipe import Example


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The room was large and it is in the centre of the town", "English"),
        ("Das Zimmer war groß und es ist nicht weit von der Stadt", "German"),
        ("酒店房间挺大，设施还可以", "Chinese"),
        ("とても良いホテルでした", "Japanese"),
        ("xqz bgt plm", "unknown language"),
    ],
)
def test_languages_are_recognised(text: str, language: str) -> None:
    assert language_of([text]) == language


def labelled(**labels: int) -> list[Example]:
    counts = ((label, number) for label, count in labels.items() for number in range(count))
    return [Example(f"text {label} {number}", label, f"row {number}") for label, number in counts]


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        (labelled(good=10, bad=5), "a.csv has 15 rows with labels. At least 20"),
        ([Example("text", str(number)) for number in range(40)], "have 40 different values in 40 rows .*label=NAME"),
        (labelled(good=40), "All 40 rows of a.csv have the label 'good'"),
    ],
)
def test_labels_that_cannot_be_learnt_say_what_to_do(examples: list[Example], message: str) -> None:
    with pytest.raises(DataError, match=message):
        usable_labels(examples, DataReport(), "a.csv", "rows")


def test_rows_without_content_and_rare_labels_are_left_out_and_named() -> None:
    report = DataReport()
    examples = [*labelled(good=20, bad=20, odd=2), Example("", "good", "row 7"), Example("text", "", "row 8")]
    assert {example.expected for example in usable_labels(examples, report, "a.csv", "rows")} == {"good", "bad"}
    assert report.warnings == [
        "2 rows without content or label are left out: row 7, row 8",
        "labels with fewer than 3 rows are left out: odd",
    ]


def test_unbalanced_and_alike_labels_are_named() -> None:
    report = DataReport()
    describe_labels(report, labelled(good=200, Good=5))
    assert report.facts == ["205 examples with 2 labels: good 200, Good 5"]
    assert report.warnings == [
        "labels are unbalanced: the most frequent has 200 examples, the rarest 5",
        "the labels 'Good' and 'good' differ only in spelling; they are learnt as different labels",
    ]


def test_inputs_with_different_labels_are_counted() -> None:
    report = DataReport()
    examples = [Example("a", "x", "row 1"), Example("a", "y", "row 2"), Example("b", "x", "row 3")]
    describe_conflicts(report, examples, [0, 0, 1])
    assert report.warnings == ["1 inputs occur with different labels, for example row 1 (x and y)"]


def test_beginnings_that_give_a_label_away_are_named() -> None:
    report = DataReport()
    good = [Example(f"Reuters says {number}", "news") for number in range(20)]
    describe_beginnings(report, [*good, *(Example(f"I say {number}", "opinion") for number in range(5))])
    assert len(report.warnings) == 1
    assert "20 of 20 texts of 'news' begin with 'Reuters'" in report.warnings[0]


def test_folders_of_parts_are_read_together(tmp_path: Path) -> None:
    report = DataReport()
    for name in ("train/a", "test/a", "images/val"):
        (tmp_path / name).mkdir(parents=True)
    describe_parts(report, str(tmp_path))
    assert report.facts[0].startswith("The folders val, test, train are read together and split anew")
    describe_parts(report, str(tmp_path / "train"))
    assert len(report.facts) == 1
    assert DataReport(["fact"], ["warning"]).lines() == ["fact", "Note: warning"]
