"""A warm call around `session.run`: its instructions and allocations (valgrind), its memory.

An allocation is a call of malloc, calloc or realloc by anything in the process; Python's own allocator is off, so that
each of its objects is one.
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
PARTS = ("HTTP", "careless HTTP", "predict")
"""As process_warm.py has them."""
CALLS = 10
"""That are counted of each."""
ALLOCATORS = ("malloc", "calloc", "realloc")


class Warm(NamedTuple):
    found: Figures
    careless: Figures
    """The control: HTTP calls with work and memory that they need not."""


def memory() -> Warm:
    """The most bytes that Python has at once for a call, beyond what it had, and memory blocks that a call keeps."""
    found: Mapping[str, Sequence[float]] = json.loads(_run([], "memory").splitlines()[-1])
    return _parted({name: dict(zip(("peak bytes", "blocks kept"), found[name], strict=True)) for name in PARTS})


def lacking() -> str:
    """Why `counts` cannot be had here; empty: it can."""
    if platform.machine() != "x86_64":
        return "process_warm.py speaks to valgrind on x86-64 alone"
    return "" if shutil.which("valgrind") else "valgrind is not installed: apt-get install valgrind"


def counts() -> Warm:
    """Instructions and allocations of a call. Needs valgrind."""
    with tempfile.TemporaryDirectory(prefix="hearth-callgrind-") as made:
        output = Path(made) / "out"
        options = ["--instr-atstart=no", "--dump-before=getpgid", f"--callgrind-out-file={output}"]
        _run(["valgrind", "-q", "--tool=callgrind", *options], "valgrind")
        found = {}
        for place, name in enumerate(PARTS):
            profile = output.with_name(f"out.{2 * place + 2}").read_text()
            total = re.search(r"(?m)^totals: (\d+)", profile)
            assert total is not None
            instructions, allocations = int(total[1]), _calls(profile, ALLOCATORS)
            found[name] = {"instructions": instructions / CALLS, "allocations": allocations / CALLS}
    return _parted(found)


def _parted(found: Mapping[str, Mapping[str, float]]) -> Warm:
    figures: list[dict[str, float]] = [{}, {}]
    for name, values in found.items():
        careless = name.startswith("careless ")
        figures[careless] |= {f"{name.removeprefix('careless ')}/{kind}": value for kind, value in values.items()}
    return Warm(*figures)


def _calls(profile: str, functions: Sequence[str]) -> int:
    """How often functions were called, by callgrind's file: a name stands with its number once, then the number."""
    names: dict[str, str] = {}
    calls, called = 0, ""
    for line in profile.splitlines():
        if found := re.fullmatch(r"c?fn=(\(\d+\))(?: (.*))?", line):
            if found[2]:
                names[found[1]] = found[2]
            called = names[found[1]]
        elif found := re.match(r"calls=(\d+) ", line):
            calls += int(found[1]) if called in functions else 0
    return calls


def _run(before: Sequence[str], kind: str) -> str:
    """What process_warm.py prints."""
    event = rest_event("POST", "/models/sentiment-en", json.dumps({"inputs": "this is a great movie"}))
    with tempfile.TemporaryDirectory(prefix="hearth-kept-") as made:
        make_text_artifact(Path(made) / "store")
        variables = {
            "PYTHONHASHSEED": "0",
            "PYTHONMALLOC": "malloc" if before else "pymalloc",
            "HEARTH_STORE": (Path(made) / "store").as_uri(),
            "HEARTH_CACHE_DIR": str(Path(made) / "cache"),
            "HEARTH_ALIAS_SECONDS": "3600",
        }
        surroundings = environment(HERE / "standin", ROOT / "functions/text_classification", **variables)
        command = [*before, sys.executable, str(HERE / "process_warm.py"), kind, str(CALLS), json.dumps(event)]
        return subprocess.run(command, env=surroundings, stdout=subprocess.PIPE, text=True, check=True).stdout
