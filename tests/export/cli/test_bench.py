from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner, Result

from hearth_build.cli.main import app
from tests.benchmarks import runner


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["bench", *arguments])


def test_an_unknown_area_names_the_known_ones() -> None:
    result = run("nothing")
    assert result.exit_code == 2
    assert "There is no area nothing" in result.output


def test_the_other_areas_are_measured_if_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(name: str, rounds: int, *given: Any) -> str:
        if name == "first":
            raise ValueError("broken")
        return f"{rounds} rounds"

    monkeypatch.setattr(runner, "areas", lambda: ["first", "second"])
    monkeypatch.setattr(runner, "run", measure)
    result = run("first", "second", "--rounds", "3")
    assert result.exit_code == 1
    assert "# second" in result.output
    assert "3 rounds" in result.output
    assert "first could not be measured" in result.output
    assert run("second").exit_code == 0
