"""What an area of the benchmark is made of. A module of `areas/` has `cases(work)`, and its docstring is its title."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
WORK = ROOT / "build/bench"
"""Models, data, peers' environments and what was measured: made once, in no commit."""
RATES = "_per_second"
"""End of the names of figures of which more is better."""

Figures = Mapping[str, float]
Turn = Callable[[], Figures]
"""Makes one measurement: for instance `{"seconds": 0.012, "peak_mb": 180.0}`."""


class Missing(Exception):
    """A way cannot be measured here; says why."""


@dataclass(frozen=True)
class Way:
    name: str
    open: Callable[[], AbstractContextManager[Turn]]
    """Entered once a case. Raises Missing, here or in a turn, where the peer cannot be had."""


@dataclass(frozen=True)
class Case:
    name: str
    ways: Sequence[Way]
    """Ours first; the names of ours begin with Hearth."""
    baseline: str
    """The way that is 1.0."""
    aim: float | None = None
    """The ratio that the best of ours should have, or better."""
    speedup: bool = False
    """Whether a ratio says how many times as fast as the baseline; else what share of the baseline is needed."""
    figure: str = "seconds"
    """The figure that ratios are of."""
    limit: str = ""
    """What is known to be the limit or the best peer, a phrase."""
