"""Clients that have an environment of their own: a process runs their cases for each address that it is sent."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.tools import tool


@contextmanager
def start(name: str, script: Path) -> Iterator[subprocess.Popen[str]]:
    """The process of a script in the environment of the tool `name`. Its imports are slow, so all tests share
    it."""
    command = [tool(name) / "bin/python", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def run_cases(process: subprocess.Popen[str], address: str) -> dict[str, str | None]:
    """None or a traceback, by case."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{address}\n")
    process.stdin.flush()
    results: dict[str, str | None] = json.loads(process.stdout.readline())
    return results
