"""What an area of the benchmark consists of. A module of `areas/` has `cases(work)`, and its docstring is its title."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
WORK = ROOT / "build/bench"
"""Models, data, peers' environments and measurements: built once, never committed."""
RATES = "_per_second"
"""Suffix of the names of figures that are better when higher."""

Figures = Mapping[str, float]
Turn = Callable[[], Figures]
"""Makes one measurement: for instance `{"seconds": 0.012, "peak_mb": 180.0}`."""


class Missing(Exception):
    """A way cannot be measured on this machine; the message says why."""


@dataclass(frozen=True)
class Way:
    name: str
    open: Callable[[], AbstractContextManager[Turn]]
    """Entered once per case. Raises Missing, on entry or in a turn, if the peer is not available."""


@dataclass(frozen=True)
class Case:
    name: str
    ways: Sequence[Way]
    """Ours first; their names begin with Hearth."""
    baseline: str
    """Name of the way whose ratio is 1.0."""
    aim: float | None = None
    """The ratio that the best of our ways should reach."""
    speedup: bool = False
    """Whether a ratio says how many times faster than the baseline a way is; otherwise, which share of its figure it
    needs."""
    figure: str = "seconds"
    """Name of the figure that the ratios compare."""
    limit: str = ""
    """The known limit or best peer, as a phrase."""
