"""`hearth drift` compares what was served, and exits with 1 when something moved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from hearth import settings
from hearth.http.asgi import create_app
from hearth.models.cache import warm_cache
from hearth.models.sketch_writer import SketchWriter
from hearth.telemetry import sketches
from hearth_build.cli import main
from hearth_functions.text_classification import app


def hearth(*arguments: str) -> tuple[int, str, str]:
    """Exit status, output and error of a command in this process."""
    result = CliRunner().invoke(main.app, arguments)
    return result.exit_code, result.output, str(result.exception or "")


@pytest.fixture
def watch(serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the sketches of 100 requests; the working folder has data like them."""
    monkeypatch.setenv("HEARTH_WATCH", (tmp_path / "watch").as_uri())
    monkeypatch.chdir(tmp_path)
    settings.get.cache_clear()
    warm_cache.cache_clear()
    sketches.clear()
    client = TestClient(create_app(app.TASKS, local=True))
    for number in range(25):
        texts = ["a good film", "this is a bad movie", "great", "awful awful film"]
        assert client.post("/models/sentiment-en", json={"inputs": texts}).status_code == 200, number
    SketchWriter().write()
    rows = ["text\tlabel", *["a good film\tpositive", "this is a bad movie\tnegative"] * 25]
    rows += ["great\tpositive", "awful awful film\tnegative"] * 25
    (tmp_path / "same.tsv").write_text("\n".join(rows) + "\n")
    (tmp_path / "other.tsv").write_text("\n".join(["text\tlabel", *["wonderful love\tpositive"] * 60]) + "\n")
    yield tmp_path
    sketches.clear()
    warm_cache.cache_clear()


def test_same_data_is_quiet_and_other_data_alarms(watch: Path) -> None:
    status, output, _ = hearth("drift", "sentiment-en", "--reference", "same.tsv")
    assert status == 0, output
    assert "100 inputs, compared with 100 of same.tsv" in output
    assert "Nothing moved" in output
    status, output, _ = hearth("drift", "sentiment-en", "--reference", "other.tsv", "--plot", "moved.png")
    assert status == 1
    assert "Alarm: best label" in output
    assert "now 50.0%" in output
    assert (watch / "moved.png").read_bytes().startswith(b"\x89PNG")


def test_json_has_the_report(watch: Path) -> None:
    options = ("--data", "same.tsv", "--reference", "same.tsv", "--json")
    _, output, _ = hearth("drift", "sentiment-en", *options)
    report = json.loads(output)
    assert report["report"]["inputs"] == 100
    assert {feature["name"] for feature in report["report"]["features"]} >= {"label", "score", "tokens"}


def test_wrong_use_is_explained(watch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "published without reference statistics" in hearth("drift", "sentiment-en")[2]
    assert "Too few inputs" in hearth("drift", "sentiment-en", "--against", "1")[1]
    assert "PNG" in hearth("drift", "sentiment-en", "--plot", "moved.txt")[2]
    monkeypatch.delenv("HEARTH_WATCH")
    assert "HEARTH_WATCH" in hearth("drift", "sentiment-en", "--reference", "same.tsv")[2]
