"""Statistics of this execution environment since it started, by model, version and tenant.

Tenants are separate, so that no tenant sees the requests of others. Other environments have their own statistics; the
metrics in the log cover all environments.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict

import msgspec

from hearth.telemetry.timing import Timing


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
    items: int = 0
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
        if failed:
            record.fail.add(total)
            return
        record.success.add(total)
        record.input.add(timing.steps.get("encode", 0.0))
        record.infer.add(timing.steps.get("run", 0.0))
        record.output.add(timing.steps.get("decode", 0.0))
        record.items += int(fields.get("items", 1))
        record.last = time.time_ns() // 1_000_000


def get_record(model: str, version: str, tenant: str) -> Record:
    """The statistics of one version for a tenant; `tenant` is empty if no key is required."""
    with _lock:
        return _records.get((model, version, tenant), Record())


def clear() -> None:
    with _lock:
        _records.clear()
