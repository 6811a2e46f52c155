"""An engine in a process of its own, asked for a measurement a line."""

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

LONGEST = 600
"""Seconds of a turn, or of loading, after which the process is ended."""


@contextmanager
def worker(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Iterator[Turn]:
    """Start an engine; the turn asks it, and adds `peak_mb`, the process's highest resident memory so far.

    It prints `{"ready": true}` when it is loaded, then a JSON object of figures for each line on its standard input;
    other lines, which some libraries print, are passed over. Raises Missing with the last line of its errors where it
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
            _told(process, errors)

            def turn() -> Figures:
                assert process.stdin
                with suppress(BrokenPipeError):  # it has ended: _told says with which words
                    process.stdin.write("\n")
                    process.stdin.flush()
                return {**_told(process, errors), "peak_mb": peak_mb(process.pid)}

            yield turn
        finally:
            process.kill()
            process.communicate()


def peak_mb(process: int) -> float:
    """The highest resident memory of a process, in megabytes, as the kernel counts it."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 1000 if found else 0.0


def _told(process: subprocess.Popen[str], errors: IO[str]) -> Figures:
    assert process.stdout
    watch = threading.Timer(LONGEST, process.kill)
    watch.start()
    try:
        line = next((line for line in process.stdout if line.startswith("{")), "")
    finally:
        watch.cancel()
    if not line:
        status = process.wait()
        errors.seek(0)
        last = (errors.read().strip().splitlines() or ["it said nothing"])[-1]
        raise Missing(f"its process ended with {status}: {last[:200]}")
    found: Figures = json.loads(line)
    return found
