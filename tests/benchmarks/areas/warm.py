"""Warm overhead: what a warm handler adds to its work, for an HTTP event and called directly.

`over us` is a call's time less that of the bare work (encode, session.run, decode), `over run us` less that of
session.run alone, each the difference of medians of calls that take turns in one process. The model is tiny, so
that the overhead shows; the handler's time includes log line, metrics and the time limit of the invocation.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks import plots, table
from tests.benchmarks.area import ROOT, Case, Turn, Way
from tests.benchmarks.worker import worker

if TYPE_CHECKING:
    from tests.benchmarks.runner import CaseResult

EMPTY = "FastAPI in Mangum, async, no work"
AIMS = {"HTTP event": 150.0, "direct call": 20.0}
"""Microseconds that a call may add."""
FIGURES = ("over_us", "over_run_us", "processor_us")


def cases(work: Path) -> Sequence[Case]:
    empty = Way(EMPTY, partial(_engine, "FastAPI"))
    limit = "an empty FastAPI handler takes 110 µs where the reference was measured, a bare one 1 to 4"
    return [
        Case(name, [Way("Hearth", partial(_engine, kind)), empty], EMPTY, figure="over_us", limit=limit)
        for name, kind in (("HTTP event", "HTTP"), ("direct call", "direct"))
    ]


def _engine(kind: str) -> AbstractContextManager[Turn]:
    return worker([sys.executable, "-m", "tests.benchmarks.engines.handler", kind], {"PYTHONPATH": str(ROOT)})


def report(folder: Path, results: Sequence[CaseResult]) -> str:
    plots.ratios(results, "Warm overhead", folder / "warm.png")
    return table.render(results) + "\n".join(["## Against the aims in microseconds", "", *map(_aim, results), ""])


def _aim(result: CaseResult) -> str:
    ours = [figures["Hearth"] for figures in result.rounds if "Hearth" in figures]
    if not ours:
        return f"- {result.case.name}: not measured"
    over, alone, processor = (statistics.median(figures[name] for figures in ours) for name in FIGURES)
    aim = AIMS[result.case.name]
    return (
        f"- {result.case.name}: {over:.0f} µs over the bare work, {alone:.0f} over session.run alone "
        f"({processor:.0f} of processor time over the bare work); "
        f"aim {aim:.0f}: {'met' if over <= aim else 'short'}"
    )
