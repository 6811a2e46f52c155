"""An engine in a process of its own, which makes a measurement for each line on its standard input."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tests.benchmarks.area import ROOT, Figures, Missing, Turn

TIMEOUT = 600
"""Seconds that a turn, or loading, may take before the process is killed."""


@contextmanager
def worker(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Iterator[Turn]:
    """Start an engine; a turn requests a measurement and adds `peak_mb`, the process's highest resident memory so far.

    It prints `{"ready": true}` when it is loaded, then a JSON object of figures for each line on its standard input;
    other lines, which some libraries print, are ignored. Raises Missing with the last line of its errors if the process
    ends.
    """
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=ROOT,
            env=os.environ | dict(env or {}),
        )
        try:
            _read_figures(process, errors)

            def turn() -> Figures:
                assert process.stdin
                with suppress(BrokenPipeError):  # it has ended: _read_figures raises with its last line
                    process.stdin.write("\n")
                    process.stdin.flush()
                return {**_read_figures(process, errors), "peak_mb": peak_mb(process.pid)}

            yield turn
        finally:
            process.kill()
            process.communicate()


def peak_mb(process: int) -> float:
    """The highest resident memory of a process, in megabytes, as the kernel counts it."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(match[1]) / 1000 if match else 0.0


def _read_figures(process: subprocess.Popen[str], errors: IO[str]) -> Figures:
    assert process.stdout
    timer = threading.Timer(TIMEOUT, process.kill)
    timer.start()
    try:
        line = next((line for line in process.stdout if line.startswith("{")), "")
    finally:
        timer.cancel()
    if not line:
        status = process.wait()
        errors.seek(0)
        last_line = (errors.read().strip().splitlines() or ["no error output"])[-1]
        raise Missing(f"its process ended with {status}: {last_line[:200]}")
    figures: Figures = json.loads(line)
    return figures
