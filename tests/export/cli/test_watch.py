"""`hearth watch` answers each file that lands in a folder, once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from typer.testing import CliRunner

from hearth_build.cli.main import app
from tests.support.artifacts import make_text_artifact


def lines(output: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def test_each_file_is_answered_once_and_hidden_ones_never(tmp_path: Path) -> None:
    make_text_artifact(tmp_path / "store", "sentiment")
    folder, results = tmp_path / "in", tmp_path / "out"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/a.txt").write_text("a wonderful film")
    (folder / "b.txt").write_bytes(b"\xff\xfe\xfa")
    (folder / ".DS_Store").write_text("x")
    command = ["watch", str(folder), "sentiment", "--once", "--output", str(results)]
    command += ["--store", (tmp_path / "store").as_uri()]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1, (result.output, result.exception)
    broken, answered = lines(result.output)
    assert (broken["key"], broken["error_type"]) == ("b.txt", "bad_request")
    assert (answered["key"], answered["label"], answered["task"]) == (
        "deep/a.txt",
        "positive",
        "text-classification",
    )
    assert json.loads((results / "deep/a.txt.json").read_text())["output"]
    again = CliRunner().invoke(app, command)
    assert [line["key"] for line in lines(again.output)] == ["b.txt"]


def test_a_file_that_lands_later_is_answered(tmp_path: Path) -> None:
    make_text_artifact(tmp_path / "store", "sentiment")
    (tmp_path / "in").mkdir()
    command = [sys.executable, "-m", "hearth_build.cli.main", "watch", "in", "sentiment"]
    command += ["--store", (tmp_path / "store").as_uri()]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        time.sleep(1)
        (tmp_path / "in/later.txt").write_text("a wonderful film")
        assert process.stdout
        line = json.loads(process.stdout.readline())
        process.terminate()
    assert (line["key"], line["label"]) == ("later.txt", "positive")


def test_misspelt_models_and_folders_get_a_suggestion(tmp_path: Path) -> None:
    make_text_artifact(tmp_path / "store", "sentiment")
    (tmp_path / "incoming").mkdir()
    store = ("--store", (tmp_path / "store").as_uri(), "--once")
    for folder, model, advice in (
        ("incoming", "sentimen", "Did you mean sentiment?"),
        ("incomin", "sentiment", "Did you mean incoming?"),
    ):
        result = CliRunner().invoke(app, ["watch", str(tmp_path / folder), model, *store])
        assert advice in str(result.exception)


def test_results_below_the_inputs_and_missing_folders_are_refused(tmp_path: Path) -> None:
    command = ["watch", str(tmp_path), "sentiment-en", "--output", str(tmp_path / "results")]
    assert "must not be written below the inputs" in str(CliRunner().invoke(app, command).exception)
    assert "x does not exist." in str(CliRunner().invoke(app, ["watch", str(tmp_path / "x"), "m"]).exception)
