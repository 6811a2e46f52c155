from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hearth.errors import NotFound
from hearth_build.cli.main import app


def test_a_version_is_written_and_the_next_command_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_CACHE_DIR", str(tmp_path / "cache"))
    result = CliRunner().invoke(app, ["export-hub", "sentiment-en", str(tmp_path / "hub")])
    assert result.exit_code == 0, (result.output, result.exception)
    assert (tmp_path / "hub/onnx").is_dir()
    assert f"Next: hf upload USER/sentiment-en {tmp_path / 'hub'}" in result.output


def test_a_misspelt_model_is_suggested(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["export-hub", "sentiment-eng", str(tmp_path / "hub")])
    assert isinstance(result.exception, NotFound)
    assert "sentiment-en" in str(result.exception)
