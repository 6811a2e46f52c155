from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from hearth_build.cli.main import app
from hearth_build.release import oci


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_all_files_of_a_version_are_pushed_with_its_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pushed: dict[str, bytes] = {}

    def push(manifest: Any, files: dict[str, Path], reference: str) -> str:
        pushed.update({name: path.read_bytes() for name, path in files.items()})
        return "sha256:abc"

    monkeypatch.setenv("HEARTH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(oci, "push", push)
    result = run("push", "sentiment-en", "ghcr.io/me/reviews:1")
    assert result.exit_code == 0, (result.output, result.exception)
    assert {"manifest.json", "model.onnx", "model.bin", "tokenizer.json"} <= pushed.keys()
    assert "Pushed sentiment-en@1 to ghcr.io/me/reviews:1 (sha256:abc)" in result.output


@pytest.mark.parametrize(("name", "command"), [("manifest.json", "publish"), ("config.json", "import")])
def test_after_a_pull_the_command_for_its_files_is_printed(
    name: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pull(reference: str, folder: Path) -> list[Path]:
        folder.mkdir()
        (folder / name).write_text("{}")
        return [folder / name]

    monkeypatch.setattr(oci, "pull", pull)
    result = run("pull", "ghcr.io/me/reviews:1", str(tmp_path / "model"))
    assert f"Wrote {name} to" in result.output
    assert f"Next: hearth {command} {tmp_path / 'model'}" in result.output
