"""Columns and JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from hearth_build.cli.output import aligned, print_json, print_table


@dataclass
class Point:
    x: int
    name: str


def test_json_is_printed_of_dataclasses_and_unicode(capsys: pytest.CaptureFixture[str]) -> None:
    print_json([Point(1, "北京")])
    printed = capsys.readouterr().out
    assert "北京" in printed
    assert json.loads(printed) == [{"x": 1, "name": "北京"}]


def test_columns_are_aligned_where_characters_are_wide(capsys: pytest.CaptureFixture[str]) -> None:
    assert aligned([["北京", "1"], ["a", "2"]]) == ["北京  1", "a     2"]
    print_table(["name", "MB"], [["a", "10.5"], ["bc", "9.1"]], right=("MB",))
    assert capsys.readouterr().out == "NAME    MB\na     10.5\nbc     9.1\n"
