from __future__ import annotations

import logging
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from hearth.errors import BadRequest
from hearth.telemetry import log
from hearth_build.cli import batch as module
from hearth_build.cli.batch import errors_only
from hearth_build.cli.main import app
from tests.support.artifacts import make_text_artifact


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["batch", *arguments])


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("HEARTH_CACHE_DIR", str(tmp_path / "cache"))
    make_text_artifact(tmp_path / "store")
    (tmp_path / "texts").mkdir()
    store = ["--store", (tmp_path / "store").as_uri(), "--output", str(tmp_path / "results")]
    return ["sentiment-en", str(tmp_path / "texts"), *store, "--concurrency", "1"]


def test_every_file_of_a_folder_gets_a_result(arguments: list[str], tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"texts/{name}.txt").write_text("a good film")
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "results/sentiment-en").rglob("*.json"))) == 2


def test_more_failures_than_tolerated_fail_the_run(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "texts/a.txt").write_text("a good film")
    (tmp_path / "texts/b.json").write_text("{")
    result = run(*arguments)
    assert result.exit_code == 1
    assert "b.json: bad_request: The body is not valid JSON" in result.output
    assert run(*arguments, "--tolerated", "50", "--run", "again").exit_code == 0


def test_only_errors_are_logged_meanwhile() -> None:
    before = log.logger().level
    with errors_only():
        assert log.logger().level == logging.ERROR
    assert log.logger().level == before


def test_an_empty_folder_is_refused(arguments: list[str]) -> None:
    assert isinstance(run(*arguments).exception, BadRequest)


def test_on_aws_failures_are_printed_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEARTH_THREADS", raising=False)  # a batch on this machine sets it
    failed = {"key": "x", "error_type": "BadRequest", "error": "no text"}
    states = [("RUNNING", {"succeeded": 1, "total": 2}, ""), ("SUCCEEDED", {"succeeded": 2, "total": 2}, "")]
    stack = SimpleNamespace(output=lambda name: "results")
    started: list[Any] = []

    def start(*given: Any) -> tuple[str, str]:
        started.append(given[3])
        return "arn", "run1"

    monkeypatch.setattr("hearth_build.cloud.stack.describe_stack", lambda name: stack)
    monkeypatch.setattr("hearth_build.cloud.batch_run.start_execution", start)
    monkeypatch.setattr("hearth_build.cloud.batch_run.watch_execution", lambda execution: iter(states))
    monkeypatch.setattr(
        "hearth_build.cloud.batch_run.batch_results", lambda store, run: [{"done": 99, "failed": [failed]}]
    )
    monkeypatch.setattr(module, "open_store", lambda uri: uri)
    result = run("toy", "s3://inbox/batch/toy/")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "x: BadRequest: no text" in result.output
    assert "s3://results/results/run1/" in result.output
    assert started[0]["concurrency"] == 10
    assert run("toy", "s3://inbox/batch/toy/", "--tolerated", "0").exit_code == 1
    assert os.environ.get("HEARTH_THREADS") is None
