"""Measurements of which each needs a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.area import Figures, Turn, Way

CLOCK = """
import json, sys, time
started, processor = time.perf_counter(), time.process_time()
exec(sys.argv[1])
figures = {"seconds": time.perf_counter() - started, "processor": time.process_time() - processor}
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps(figures | {"peak_mb": int(peak) / 1000}))
"""
"""Runs its first argument, and prints its seconds, those of the processor, and the highest resident memory: not what
getrusage says, which begins with the memory of whoever started it."""


def way(name: str, python: Callable[[], Path], code: str, env: Callable[[], Mapping[str, str]] = dict) -> Way:
    """`code` in a fresh interpreter each turn; its start is not counted."""

    @contextmanager
    def open() -> Iterator[Turn]:
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | env()
        yield lambda: _turn([python(), "-c", CLOCK, code], environment)

    return Way(name, open)


def _turn(command: Sequence[str | Path], env: Mapping[str, str]) -> Figures:
    run = subprocess.run(list(map(str, command)), env=dict(env), capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(run.stderr)
    figures: Figures = json.loads(run.stdout.splitlines()[-1])
    return figures
