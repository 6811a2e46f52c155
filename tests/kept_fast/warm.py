"""Figures of a warm call without `session.run`: instructions and allocations (valgrind), memory.

An allocation is a call of malloc, calloc or realloc anywhere in the process; Python's own allocator is off, so that
every object counts.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.kept_fast.compare import Figures
from tests.kept_fast.process import environment
from tests.support.artifacts import make_text_artifact
from tests.support.layers import ROOT
from tests.support.requests import rest_event

HERE = Path(__file__).parent
WORKLOADS = ("HTTP", "careless HTTP", "watched HTTP", "predict")
"""The workloads of process_warm.py, in its order."""
CALLS = 10
"""Number of counted calls per workload."""
ALLOCATORS = ("malloc", "calloc", "realloc")


class WarmFigures(NamedTuple):
    figures: Figures
    careless: Figures
    """The control: HTTP calls with unnecessary work and memory."""


def memory() -> WarmFigures:
    """Maximum bytes that Python allocates for a call, and memory blocks that a call keeps."""
    output: Mapping[str, Sequence[float]] = json.loads(_run([], "memory").splitlines()[-1])
    return _split({name: dict(zip(("peak bytes", "blocks kept"), output[name], strict=True)) for name in WORKLOADS})


def missing_requirement() -> str:
    """Why `counts` cannot run on this machine; empty if it can."""
    if platform.machine() != "x86_64":
        return "process_warm.py controls valgrind on x86-64 only"
    return "" if shutil.which("valgrind") else "valgrind is not installed: apt-get install valgrind"


def counts() -> WarmFigures:
    """Instructions and allocations of a call. Needs valgrind."""
    with tempfile.TemporaryDirectory(prefix="hearth-callgrind-") as folder:
        output = Path(folder) / "out"
        options = ["--instr-atstart=no", "--dump-before=getpgid", f"--callgrind-out-file={output}"]
        _run(["valgrind", "-q", "--tool=callgrind", *options], "valgrind")
        figures = {}
        for index, name in enumerate(WORKLOADS):
            profile = output.with_name(f"out.{2 * index + 2}").read_text()
            total = re.search(r"(?m)^totals: (\d+)", profile)
            assert total is not None
            instructions, allocations = int(total[1]), _count_calls(profile, ALLOCATORS)
            figures[name] = {"instructions": instructions / CALLS, "allocations": allocations / CALLS}
    return _split(figures)


def _split(workloads: Mapping[str, Mapping[str, float]]) -> WarmFigures:
    figures: list[dict[str, float]] = [{}, {}]
    for name, values in workloads.items():
        careless = name.startswith("careless ")
        figures[careless] |= {f"{name.removeprefix('careless ')}/{kind}": value for kind, value in values.items()}
    return WarmFigures(*figures)


def _count_calls(profile: str, functions: Sequence[str]) -> int:
    """Number of calls of functions in a callgrind file, which gives a name with its number once, then the number
    only."""
    names: dict[str, str] = {}
    calls, callee = 0, ""
    for line in profile.splitlines():
        if match := re.fullmatch(r"c?fn=(\(\d+\))(?: (.*))?", line):
            if match[2]:
                names[match[1]] = match[2]
            callee = names[match[1]]
        elif match := re.match(r"calls=(\d+) ", line):
            calls += int(match[1]) if callee in functions else 0
    return calls


def _run(prefix: Sequence[str], kind: str) -> str:
    """Run process_warm.py, with `prefix` before the command, and return its output."""
    event = rest_event("POST", "/models/sentiment-en", json.dumps({"inputs": "this is a great movie"}))
    with tempfile.TemporaryDirectory(prefix="hearth-kept-") as folder:
        make_text_artifact(Path(folder) / "store")
        variables = {
            "PYTHONHASHSEED": "0",
            "PYTHONMALLOC": "malloc" if prefix else "pymalloc",
            "HEARTH_STORE": (Path(folder) / "store").as_uri(),
            "HEARTH_CACHE_DIR": str(Path(folder) / "cache"),
            "HEARTH_ALIAS_SECONDS": "3600",
        }
        process_environment = environment(HERE / "standin", ROOT / "functions/text_classification", **variables)
        command = [*prefix, sys.executable, str(HERE / "process_warm.py"), kind, str(CALLS), json.dumps(event)]
        return subprocess.run(command, env=process_environment, stdout=subprocess.PIPE, text=True, check=True).stdout
