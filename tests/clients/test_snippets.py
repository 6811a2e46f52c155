"""The snippets of docs/clients.md for the vendors' clients, run unchanged except for the address."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.tools import tool

SNIPPETS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/clients.md").read_text(encoding="utf-8"), re.DOTALL)
KSERVE = next(snippet for snippet in SNIPPETS if "kserve" in snippet)
LOCAL_SNIPPETS = [snippet for snippet in SNIPPETS if "kserve" not in snippet]


def test_every_client_has_one_snippet() -> None:
    for client in ("openai", "huggingface_hub", "tritonclient", "kserve", "boto3"):
        assert sum(f"from {client}" in snippet or f"import {client}" in snippet for snippet in SNIPPETS) == 1


@pytest.mark.parametrize(
    "snippet", LOCAL_SNIPPETS, ids=lambda snippet: re.findall(r"(?:from|import) (\w+)", snippet)[-1]
)
@pytest.mark.parametrize("server", ["local"], indirect=True)
def test_a_snippet_runs(
    server: str, snippet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    shutil.copy(ROOT / "functions/catalog/page/digits.mp3", tmp_path / "digits.wav")
    exec(compile(snippet.replace("127.0.0.1:8000", server.removeprefix("http://")), "clients.md", "exec"), {})
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("server", ["local"], indirect=True)
def test_the_snippet_of_kserve_runs_in_its_own_environment(server: str) -> None:
    code = KSERVE.replace("127.0.0.1:8000", server.removeprefix("http://"))
    process = subprocess.run([tool("kserve") / "bin/python", "-c", code], capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr
    assert "scores" in process.stdout
