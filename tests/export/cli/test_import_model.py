from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from hearth_build import importing
from hearth_build.cli.import_model import parse_numbers
from hearth_build.cli.main import app
from hearth_build.recipe import RecipeError


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["import", "model.onnx", *arguments])


@pytest.mark.parametrize(
    ("text", "count", "flag", "kind", "numbers"),
    [
        (None, 3, "--mean", float, None),
        ("0,0.5,1", 3, "--mean", float, (0.0, 0.5, 1.0)),
        ("8,16,32", None, "--strides", int, (8, 16, 32)),
    ],
)
def test_numbers_are_parsed(text: Any, count: Any, flag: str, kind: type, numbers: Any) -> None:
    assert parse_numbers(text, count, flag, kind) == numbers


@pytest.mark.parametrize(
    ("text", "count", "flag", "example"),
    [("0,1,1", 3, "--std", "0.5,0.5,0.5"), ("1,1", 3, "--mean", "0.5,0.5,0.5"), ("a", 2, "--size", "224x224")],
)
def test_wrong_numbers_show_an_example(text: str, count: int, flag: str, example: str) -> None:
    with pytest.raises(typer.BadParameter, match=f"{flag} {text} is invalid. The format is {example}"):
        parse_numbers(text, count, flag)


def test_a_mean_needs_its_deviation() -> None:
    result = run("--mean", "0,0,0")
    assert result.exit_code == 2
    assert "must be used together" in result.output


def test_flags_are_the_options_of_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def read(source: str, options: Any) -> Any:
        seen.append(options)
        build = lambda work, command, precision: (None, [f"{precision} in {work}"])  # noqa: E731
        return SimpleNamespace(recipe=SimpleNamespace(name="mine"), lines=["a graph"], build=build, advice="Advice.")

    monkeypatch.setattr(importing, "read", read)
    result = run("--size", "320X240", "--strides", "8,16", "--keep", "a.*", "--precision", "int8")
    assert result.exit_code == 0, (result.output, result.exception)
    assert (seen[0].size, seen[0].strides, seen[0].keep) == ((320, 240), (8, 16), ("a.*",))
    lines = [
        "a graph",
        "int8 in build/mine",
        "Advice.",
        "Next: hearth publish build/mine/artifact --store STORE --alias prod",
    ]
    assert result.output.splitlines() == lines


def test_errors_of_libraries_are_logged_and_become_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def read(source: str, options: Any) -> Any:
        raise ZeroDivisionError("in the graph\nand more")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importing, "read", read)
    error = run().exception
    assert isinstance(error, RecipeError)
    assert "model.onnx cannot be imported: ZeroDivisionError: in the graph (all of it is in import.log)" in str(error)
    assert "ZeroDivisionError" in (tmp_path / "import.log").read_text()


def test_errors_that_say_what_to_do_stay_as_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def read(source: str, options: Any) -> Any:
        raise RecipeError("Name the labels.")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importing, "read", read)
    assert str(run().exception) == "Name the labels."
    assert not (tmp_path / "import.log").exists()
