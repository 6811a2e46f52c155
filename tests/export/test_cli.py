"""The `hearth` command as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def hearth(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEARTH_")}
    kept |= {"PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "200", **environment}
    command = [sys.executable, "-m", "export.cli", *arguments]
    return subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True, timeout=300)


def test_publish_list_alias_and_predict(toy_work: Path, tmp_path: Path) -> None:
    store = ("--store", (tmp_path / "store").as_uri())
    published = hearth("publish", str(toy_work / "artifact"), *store, "--alias", "prod", cwd=tmp_path)
    assert "Published toy@1 as prod" in published.stdout, published.stderr
    assert "canary" in hearth("alias", "toy", "canary", "1", *store, cwd=tmp_path).stdout
    listed = hearth("models", *store, cwd=tmp_path).stdout
    assert "toy" in listed
    assert "canary, prod" in listed
    answered = hearth("predict", "toy@canary", "good great worda", *store, cwd=tmp_path)
    assert answered.stdout.splitlines()[0].endswith("positive"), answered.stderr


def test_errors_are_one_sentence_and_a_status(tmp_path: Path) -> None:
    store = ("--store", tmp_path.as_uri())
    for arguments, words in (
        (("build", "nothing"), "There is no recipe 'nothing'"),
        (("build", "sentiment-en"), "HEARTH_DATA is not set"),
        (("publish", str(tmp_path), *store), "no manifest.json"),
        (("alias", "toy", "prod", "9", *store), "no version 9"),
        (("predict", "toy", "text", *store), "no model toy"),
    ):
        done = hearth(*arguments, cwd=tmp_path)
        assert done.returncode == 1, arguments
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def test_the_command_starts_without_torch_and_onnx() -> None:
    heavy = ("torch", "onnx", "transformers", "fastapi")
    code = f"import sys, export.cli; print([name for name in {heavy} if name in sys.modules])"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
