"""Measurements that need a process of their own."""

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
"""Runs its first argument, and prints wall-clock seconds, processor seconds and the highest resident memory. getrusage
is not used because its maximum starts at the memory of the parent process."""


def way(name: str, python: Callable[[], Path], code: str, env: Callable[[], Mapping[str, str]] = dict) -> Way:
    """`code` in a fresh interpreter per turn; its start is not counted."""

    @contextmanager
    def open() -> Iterator[Turn]:
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | env()
        yield lambda: _turn([python(), "-c", CLOCK, code], environment)

    return Way(name, open)


def _turn(command: Sequence[str | Path], env: Mapping[str, str]) -> Figures:
    process = subprocess.run(list(map(str, command)), env=dict(env), capture_output=True, text=True)
    if process.returncode:
        raise RuntimeError(process.stderr)
    figures: Figures = json.loads(process.stdout.splitlines()[-1])
    return figures
