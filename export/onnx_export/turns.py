"""Times of several ways to compute the same, which take turns: what else the machine does meets all of them."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence


def median_seconds(runs: Sequence[Callable[[], object]], rounds: int, limit: float = math.inf) -> list[float]:
    """The median time of each run, after one to warm up; no further round begins after `limit` seconds."""
    for run in runs:
        run()
    seconds: list[list[float]] = [[] for _ in runs]
    end = time.perf_counter() + limit
    for _ in range(rounds):
        for run, times in zip(runs, seconds, strict=True):
            started = time.perf_counter()
            run()
            times.append(time.perf_counter() - started)
        if time.perf_counter() > end:
            break
    return [statistics.median(times) for times in seconds]
