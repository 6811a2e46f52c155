"""Statistics of this execution environment since it started, by model, version and tenant.

Tenants are separate, so that no tenant sees the requests of others. Other environments have their own statistics; the
metrics in the log cover all environments.
"""

from __future__ import annotations

import bisect
import math
import threading
import time
from collections import defaultdict

import msgspec

from hearth.telemetry.timing import Timing

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the classes of a request's duration, in seconds."""

Z = 1.959964
"""Standard deviations of a 95 % interval."""


class Duration(msgspec.Struct):
    count: int = 0
    ms: float = 0.0

    def add(self, ms: float) -> None:
        self.count += 1
        self.ms += ms


class Record(msgspec.Struct):
    """Counts and times of one version. A request counts once, its items individually."""

    success: Duration = msgspec.field(default_factory=Duration)
    fail: Duration = msgspec.field(default_factory=Duration)
    input: Duration = msgspec.field(default_factory=Duration)
    infer: Duration = msgspec.field(default_factory=Duration)
    output: Duration = msgspec.field(default_factory=Duration)
    buckets: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    """Requests by the class of their duration."""
    items: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    right: int = 0
    """Answers that feedback confirms."""
    wrong: int = 0
    last: int = 0
    """Milliseconds since 1970."""


_MAX_RECORDS = 10_000
"""Largest number of records, tenants times versions; beyond it the oldest record is deleted."""
_records: defaultdict[tuple[str, str, str], Record] = defaultdict(Record)
_lock = threading.Lock()


def count(timing: Timing, *, failed: bool) -> None:
    """Count a finished request, if it reached a model."""
    fields = timing.fields
    if "model" not in fields:
        return
    total = timing.total
    with _lock:
        record = _records[str(fields["model"]), str(fields["version"]), str(fields.get("tenant", ""))]
        if len(_records) > _MAX_RECORDS:
            del _records[next(iter(_records))]
        record.buckets[bisect.bisect_left(BOUNDS, total / 1000)] += 1
        if failed:
            record.fail.add(total)
            return
        record.success.add(total)
        record.input.add(timing.steps.get("encode", 0.0))
        record.infer.add(timing.steps.get("run", 0.0))
        record.output.add(timing.steps.get("decode", 0.0))
        record.items += int(fields.get("items", 1))
        record.input_tokens += int(fields.get("input_tokens", 0))
        record.output_tokens += int(fields.get("output_tokens", 0))
        record.last = time.time_ns() // 1_000_000


def count_verdict(model: str, version: str, tenant: str, *, is_right: bool) -> Record:
    """Count an answer that feedback judges; returns the record."""
    with _lock:
        record = _records[model, version, tenant]
        if is_right:
            record.right += 1
        else:
            record.wrong += 1
        return record


def accuracy_interval(right: int, judged: int) -> tuple[float, float, float]:
    """Lower bound, share and upper bound of right answers: the 95 % interval of Wilson (1927). `judged` is not 0."""
    share, square = right / judged, Z * Z / judged
    margin = Z * math.sqrt(share * (1 - share) / judged + square / (4 * judged))
    centre, scale = share + square / 2, 1 + square
    return max((centre - margin) / scale, 0.0), share, min((centre + margin) / scale, 1.0)


def get_record(model: str, version: str, tenant: str) -> Record:
    """The statistics of one version for a tenant; `tenant` is empty if no key is required."""
    with _lock:
        return _records.get((model, version, tenant), Record())


def records_of(tenant: str) -> dict[tuple[str, str], Record]:
    """The statistics of a tenant by model and version."""
    with _lock:
        return {(model, version): record for (model, version, owner), record in _records.items() if owner == tenant}


def clear() -> None:
    with _lock:
        _records.clear()
