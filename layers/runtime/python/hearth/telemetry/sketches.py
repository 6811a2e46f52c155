"""What this process has seen of each model by the hour: counts of features, of fixed size, without any payload.

`hearth.models.sketch_writer` writes them to HEARTH_WATCH, `hearth drift` adds them up and compares them.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence

import msgspec

from hearth.telemetry.features import FEATURES, Observed, observe
from hearth.telemetry.timing import Timing

HOUR = 3600
MAX_WINDOWS = 2000
"""Largest number of windows in memory; beyond it the oldest is deleted."""
MIN_INPUTS = 200
"""Inputs of a window from which on its drift is reported as a metric."""
USAGE = {"tokens": "input_tokens", "output_tokens": "output_tokens", "seconds": "seconds"}
"""Feature -> field of the log line, for tasks whose functions observe nothing themselves."""
Key = tuple[str, str, int]
"""Model, version, and hours since 1970."""


class Sketch(msgspec.Struct):
    """The counts of one window as they are stored. Two sketches are merged by addition."""

    requests: int = 0
    counts: dict[str, list[int]] = {}
    """By feature: the number of inputs in each class."""

    def add(self, observed: Observed) -> None:
        for (name, index), number in observed.items():
            counts = self.counts.get(name)
            if counts is None:
                counts = self.counts[name] = [0] * FEATURES[name].classes
            counts[index] += number

    def merge(self, other: Sketch) -> None:
        """Add the counts of another sketch. Features that this version does not know are left out."""
        self.requests += other.requests
        for name, counts in other.counts.items():
            if name in FEATURES and len(counts) == FEATURES[name].classes:
                own = self.counts.get(name) or [0] * len(counts)
                self.counts[name] = [first + second for first, second in zip(own, counts, strict=True)]


class _Window:
    """The counts of one window while it is open."""

    __slots__ = ("observed", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.observed: Observed = {}

    def sketch(self) -> Sketch:
        sketch = Sketch(self.requests, {})
        sketch.add(self.observed)
        return sketch


_windows: dict[Key, _Window] = {}
_unwritten: set[Key] = set()
_lock = threading.Lock()


def add(timing: Timing) -> None:
    """Count what was observed in a request that succeeded."""
    fields, observed = timing.fields, timing.observed or {}
    if not observed and fields.get("items") == 1:
        for name, field in USAGE.items():
            if value := fields.get(field):
                observe(observed, name, float(value))
    if observed:
        add_observed(str(fields["model"]), str(fields["version"]), observed)


def add_observed(model: str, version: str, observed: Observed, *, requests: int = 1) -> None:
    key = model, version, int(time.time()) // HOUR
    with _lock:
        window = _windows.get(key)
        if window is None:
            window = _windows[key] = _Window()
            _drop_old(key)
        window.requests += requests
        counts = window.observed
        for name, number in observed.items():
            counts[name] = counts.get(name, 0) + number
        _unwritten.add(key)


def _drop_old(newest: Key) -> None:
    """Keep the current hour and the one before it, and what is not written yet."""
    for key in [key for key in _windows if key[2] < newest[2] - 1 and key not in _unwritten]:
        del _windows[key]
    while len(_windows) > MAX_WINDOWS:
        key = next(iter(_windows))
        del _windows[key]
        _unwritten.discard(key)


def take_unwritten() -> dict[Key, bytes]:
    """The windows that changed since they were taken last, as JSON."""
    with _lock:
        taken = {key: msgspec.json.encode(_windows[key].sketch()) for key in _unwritten}
        _unwritten.clear()
    return taken


def give_back(keys: set[Key]) -> None:
    """Mark windows as unwritten again."""
    with _lock:
        _unwritten.update(key for key in keys if key in _windows)


def recent(model: str, version: str) -> Sketch:
    """What was seen in this hour and the one before it."""
    now, merged = int(time.time() // HOUR), Sketch()
    with _lock:
        for hour in (now - 1, now):
            if window := _windows.get((model, version, hour)):
                merged.merge(window.sketch())
    return merged


def drift(reference: Mapping[str, Sequence[int]], sketch: Sketch) -> dict[str, float]:
    """The population stability index of each feature that both have; empty for less than MIN_INPUTS inputs, of which
    it would say little."""
    indices = {}
    for name, counts in sketch.counts.items():
        if name in reference and sum(counts) >= MIN_INPUTS:
            expected = [*reference[name], *[0] * (len(counts) - len(reference[name]))]
            used = [index for index in range(len(counts)) if expected[index] or counts[index]]
            indices[name] = population_stability([expected[i] for i in used], [counts[i] for i in used])
    return indices


def population_stability(first: Sequence[int], second: Sequence[int]) -> float:
    """Population stability index of two counts by class, with half an input more in each class for those that are
    empty in one of them."""
    totals = [sum(counts) + 0.5 * len(counts) for counts in (first, second)]
    shares = [((one + 0.5) / totals[0], (other + 0.5) / totals[1]) for one, other in zip(first, second, strict=True)]
    return sum((other - one) * math.log(other / one) for one, other in shares)


def clear() -> None:
    with _lock:
        _windows.clear()
        _unwritten.clear()
