"""KServe's own client: one test a case. It pins old psutil and pandas, so it lives in an environment of its own."""

from __future__ import annotations

import ast
import json
import subprocess
from pathlib import Path

import pytest

from tests.tools import tool

SCRIPT = Path(__file__).with_name("kserve_cases.py")
CASES = [part.name for part in ast.parse(SCRIPT.read_text()).body if isinstance(part, ast.AsyncFunctionDef)]


@pytest.fixture(scope="module")
def found(server: str) -> dict[str, str | None]:
    """What came of each case."""
    command = [tool("kserve") / "bin/python", SCRIPT, server]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, str | None] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize("case", [name for name in CASES if name not in ("refused", "run")])
def test_kserve(found: dict[str, str | None], case: str) -> None:
    assert found[case] is None, found[case]
