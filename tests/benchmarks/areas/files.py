"""Files: from a storage event to its result, warm, over the bare computation.

`over ms` is the median time of an event less that of encode, session.run and decode alone. The plain way reads,
computes and writes once each; ours also makes sure that an object has exactly one result, even if events arrive twice
or late.
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

AIM = 5.0
"""Milliseconds that an event may add on the local server."""
LOCAL = "folder, as on the local server"
CASES = {LOCAL: ("folder", "plain files"), "local S3 (moto)": ("s3", "boto3")}
"""By name: the kind of storage, and the plain way to access it."""


def cases(work: Path) -> Sequence[Case]:
    return [
        Case(
            name,
            [Way("Hearth", partial(_engine, kind, "hearth")), Way(plain, partial(_engine, kind, "plain"))],
            plain,
            figure="over_ms",
            limit="aim: 5 ms on the local server",
        )
        for name, (kind, plain) in CASES.items()
    ]


def _engine(kind: str, way: str) -> AbstractContextManager[Turn]:
    return worker([sys.executable, "-m", "tests.benchmarks.engines.stored", kind, way], {"PYTHONPATH": str(ROOT)})


def report(folder: Path, results: Sequence[CaseResult]) -> str:
    plots.ratios(results, "From a storage event to its result", folder / "files.png")
    return table.render(results) + "\n".join(["## Against the aim in milliseconds", "", *map(_aim, results), ""])


def _aim(result: CaseResult) -> str:
    times = [figures["Hearth"]["over_ms"] for figures in result.rounds if "Hearth" in figures]
    if not times:
        return f"- {result.case.name}: not measured"
    over = statistics.median(times)
    verdict = (
        f"aim {AIM:g}: {'met' if over <= AIM else 'short'}" if result.case.name == LOCAL else "most of it is moto's"
    )
    return f"- {result.case.name}: {over:.1f} ms over the bare computation; {verdict}"
