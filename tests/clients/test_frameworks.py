"""LangChain, LlamaIndex and LiteLLM, which send former answers back each in its own way: one test per case. They pin an
older client of OpenAI, so they have an environment of their own."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients import own_environment

SCRIPT = Path(__file__).with_name("frameworks_cases.py")
FRAMEWORKS = ("langchain", "litellm", "llama_index")
CASES = [
    node.name
    for node in ast.parse(SCRIPT.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith(FRAMEWORKS)
]


@pytest.fixture(scope="module")
def client_process() -> Iterator[subprocess.Popen[str]]:
    with own_environment.start("frameworks", SCRIPT) as process:
        yield process


@pytest.fixture(scope="module")
def case_results(server: str, client_process: subprocess.Popen[str]) -> dict[str, str | None]:
    return own_environment.run_cases(client_process, server)


@pytest.mark.parametrize("case", CASES)
def test_a_framework(case_results: dict[str, str | None], case: str) -> None:
    assert case_results[case] is None, case_results[case]
