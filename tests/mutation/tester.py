"""Runs test files, each in a fork of a process that has imported what most tests need, but nothing of Hearth.

Reads the names of test files from standard input, and prints `passed` or `failed` for each.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from contextlib import suppress

PACKAGES = (
    *("pytest", "numpy", "msgspec", "onnx", "onnxruntime", "tokenizers", "PIL.Image", "hypothesis", "jsonschema"),
    *("fastapi", "starlette.testclient", "uvicorn", "httpx2", "boto3", "moto.server", "cryptography", "yaml", "psutil"),
)
"""Only third-party packages: the tests must import Hearth, which was mutated, anew."""
IMPORTED = "-Wignore:Module already imported"
ARGUMENTS = ("-x", "-q", "-n", "0", "-m", "not slow", "-p", "no:cacheprovider", "--timeout", "60", IMPORTED)
SECONDS = 180
"""After this time a run counts as failed."""


def run(test_file: str) -> bool:
    """Whether the tests pass."""
    child = os.fork()
    if child == 0:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        import pytest

        code = 1
        try:
            code = int(pytest.main([*ARGUMENTS, test_file]))
        finally:
            os._exit(code)
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        process, status = os.waitpid(child, os.WNOHANG)
        if process:
            return status == 0
        time.sleep(0.02)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def main() -> None:
    for name in PACKAGES:
        importlib.import_module(name)
    for line in sys.stdin:
        print("passed" if run(line.strip()) else "failed", flush=True)


if __name__ == "__main__":
    main()
