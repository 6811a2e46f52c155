"""The command that adds an extra fits how Hearth was installed."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

import pytest

from hearth_build import installation


@pytest.mark.parametrize(
    ("direct", "installer", "prefix", "command"),
    [
        ({}, "pip", "/venv", "PYTHON -m pip install 'hearth-serverless[export]'"),
        (
            {"url": "file:///src/my%20hearth", "dir_info": {"editable": True}},
            "pip",
            "/venv",
            "PYTHON -m pip install -e '/src/my hearth[export]'",
        ),
        (
            {"url": "file:///src/hearth", "dir_info": {}},
            "pip",
            "/venv",
            "PYTHON -m pip install 'hearth-serverless[export] @ file:///src/hearth'",
        ),
        (
            {"url": "https://example.com/hearth.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "uv",
            "/home/a/.cache/uv/archive-v0/x1",
            "uvx --from 'hearth-serverless[export] @ git+https://example.com/hearth.git@abc' hearth …",
        ),
        (
            {"url": "file:///src/hearth", "dir_info": {}},
            "pip",
            "/home/a/.local/pipx/venvs/hearth-serverless",
            "pipx install --force 'hearth-serverless[export] @ file:///src/hearth'",
        ),
    ],
    ids=["index", "editable", "folder", "uvx from git", "pipx"],
)
def test_the_command_fits_the_installation(
    monkeypatch: pytest.MonkeyPatch, direct: dict[str, object], installer: str, prefix: str, command: str
) -> None:
    files = {"direct_url.json": json.dumps(direct) if direct else "", "INSTALLER": f"{installer}\n"}
    monkeypatch.setattr(installation, "_metadata", files.__getitem__)
    monkeypatch.setattr(sys, "prefix", prefix)
    assert installation.install_command("export") == command.replace("PYTHON", sys.executable)


def test_the_command_of_this_installation_is_one_that_pip_understands() -> None:
    arguments = shlex.split(installation.install_command("export"))
    assert arguments[1:4] == ["-m", "pip", "install"]
    run = subprocess.run([*arguments, "--dry-run", "--no-deps", "--no-build-isolation", "--quiet"], capture_output=True)
    assert run.returncode == 0, run.stderr.decode()
