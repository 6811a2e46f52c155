"""KServe's own client: one test per case. It pins old psutil and pandas, so it has an environment of its own."""

from __future__ import annotations

import ast
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools import tool

SCRIPT = Path(__file__).with_name("kserve_cases.py")
CASES = [node.name for node in ast.parse(SCRIPT.read_text()).body if isinstance(node, ast.AsyncFunctionDef)]


@pytest.fixture(scope="module")
def client_process() -> Iterator[subprocess.Popen[str]]:
    """The process that runs the cases for each address. Its imports are slow, so all tests share it."""
    command = [tool("kserve") / "bin/python", SCRIPT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.fixture(scope="module")
def case_results(server: str, client_process: subprocess.Popen[str]) -> dict[str, str | None]:
    """None or a traceback, by case."""
    assert client_process.stdin
    assert client_process.stdout
    client_process.stdin.write(f"{server}\n")
    client_process.stdin.flush()
    result: dict[str, str | None] = json.loads(client_process.stdout.readline())
    return result


@pytest.mark.parametrize("case", [name for name in CASES if name not in ("assert_refused", "run")])
def test_kserve(case_results: dict[str, str | None], case: str) -> None:
    assert case_results[case] is None, case_results[case]
