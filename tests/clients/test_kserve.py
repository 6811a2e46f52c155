"""KServe's own client: one test per case. It pins old psutil and pandas, so it has an environment of its own."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients import own_environment

SCRIPT = Path(__file__).with_name("kserve_cases.py")
CASES = [node.name for node in ast.parse(SCRIPT.read_text()).body if isinstance(node, ast.AsyncFunctionDef)]


@pytest.fixture(scope="module")
def client_process() -> Iterator[subprocess.Popen[str]]:
    with own_environment.start("kserve", SCRIPT) as process:
        yield process


@pytest.fixture(scope="module")
def case_results(server: str, client_process: subprocess.Popen[str]) -> dict[str, str | None]:
    return own_environment.run_cases(client_process, server)


@pytest.mark.parametrize("case", [name for name in CASES if name not in ("assert_refused", "run")])
def test_kserve(case_results: dict[str, str | None], case: str) -> None:
    assert case_results[case] is None, case_results[case]
