"""KServe's own client: one test a case. It pins old psutil and pandas, so it lives in an environment of its own."""

from __future__ import annotations

import ast
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools import tool

SCRIPT = Path(__file__).with_name("kserve_cases.py")
CASES = [part.name for part in ast.parse(SCRIPT.read_text()).body if isinstance(part, ast.AsyncFunctionDef)]


@pytest.fixture(scope="module")
def asker() -> Iterator[subprocess.Popen[str]]:
    """Runs the cases for each address that it is given. Its imports take long, so there is one."""
    command = [tool("kserve") / "bin/python", SCRIPT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.fixture(scope="module")
def found(server: str, asker: subprocess.Popen[str]) -> dict[str, str | None]:
    """What came of each case."""
    assert asker.stdin
    assert asker.stdout
    asker.stdin.write(f"{server}\n")
    asker.stdin.flush()
    result: dict[str, str | None] = json.loads(asker.stdout.readline())
    return result


@pytest.mark.parametrize("case", [name for name in CASES if name not in ("refused", "run")])
def test_kserve(found: dict[str, str | None], case: str) -> None:
    assert found[case] is None, found[case]
