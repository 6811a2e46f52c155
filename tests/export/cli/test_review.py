"""`hearth review` writes what is labelled."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hearth_build.cli.main import app
from tests.support.artifacts import make_text_artifact


def review(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["review", "sentiment-en", *arguments])
    return result.exit_code, f"{result.output} {result.exception}"


@pytest.fixture
def capture(serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from msgspec import structs

    from tests.export.labelling.test_captured import put, text

    monkeypatch.chdir(tmp_path)
    for number in range(2):
        put(tmp_path / "captured", structs.replace(text(f"{number}-0", "fine", 0.6), model="sentiment-en"))
    (tmp_path / "captured/sentiment-en/1/labels").mkdir()
    (tmp_path / "captured/sentiment-en/1/labels/0-0.json").write_text('{"label": "positive", "time": ""}')
    return tmp_path / "captured"


def test_labelled_items_are_written(capture: Path, tmp_path: Path) -> None:
    status, output = review("--capture", capture.as_uri(), "--output", "data.jsonl", "--export-only")
    assert status == 0, output
    assert "Wrote 1 labelled items. Next: hearth train text-classification --data data.jsonl" in output
    assert (tmp_path / "data.jsonl").read_text() == '{"text":"fine","label":"positive"}\n'


def test_wrong_use_is_explained(capture: Path, tmp_path: Path) -> None:
    make_text_artifact(tmp_path / "other")
    for arguments, message in (
        ((), "HEARTH_CAPTURE"),
        (("--capture", capture.as_uri(), "--export-only"), "--output"),
        (("--capture", (tmp_path / "other").as_uri()), "No input of sentiment-en is captured"),
    ):
        status, output = review(*arguments)
        assert status == 1
        assert message in output
