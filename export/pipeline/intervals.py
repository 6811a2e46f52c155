"""Confidence intervals of metrics by the bootstrap: how much they would differ on other examples of the same kind."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hearth_build.recipe import Example

RESAMPLES = 1000
MIN_RESAMPLES = 100
SECONDS = 20.0
"""Time after which no more than MIN_RESAMPLES are drawn, for slow metrics."""
PERCENTILES = (2.5, 97.5)


def bootstrap(
    score: Callable[[Sequence[Example], Sequence[Any]], dict[str, float]],
    examples: Sequence[Example],
    outputs: Sequence[Any],
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """The 95 % interval of each metric. Examples of a group are drawn together."""
    groups: dict[str, list[int]] = {}
    for index, example in enumerate(examples):
        groups.setdefault(example.group or f"#{index}", []).append(index)
    members = [np.array(indices) for indices in groups.values()]
    random = np.random.default_rng(seed)
    samples: dict[str, list[float]] = {}
    end = time.monotonic() + SECONDS
    for number in range(RESAMPLES):
        if number >= MIN_RESAMPLES and time.monotonic() > end:
            break
        drawn = np.concatenate([members[index] for index in random.integers(len(members), size=len(members))])
        metrics = score([examples[index] for index in drawn], [outputs[index] for index in drawn])
        for name, value in metrics.items():
            samples.setdefault(name, []).append(value)
    intervals = {name: np.percentile(values, PERCENTILES) for name, values in samples.items()}
    return {name: (float(low), float(high)) for name, (low, high) in intervals.items()}
