"""What this execution environment has answered since it started, model by model, and apart for each tenant: nobody
learns from them what others do. Other environments count for themselves; the fleet's figures are the metrics in the
log."""

from __future__ import annotations

import threading
import time
from collections import defaultdict

import msgspec

from hearth.telemetry.timing import Trace, current


class Sum(msgspec.Struct):
    count: int = 0
    ms: float = 0.0

    def add(self, ms: float) -> None:
        self.count += 1
        self.ms += ms


class Record(msgspec.Struct):
    """Of one version. A request counts once; its items are known where it came as tensors, else it is one."""

    success: Sum = msgspec.field(default_factory=Sum)
    fail: Sum = msgspec.field(default_factory=Sum)
    input: Sum = msgspec.field(default_factory=Sum)
    infer: Sum = msgspec.field(default_factory=Sum)
    output: Sum = msgspec.field(default_factory=Sum)
    items: int = 0
    last: int = 0
    """Milliseconds since 1970."""


_MOST = 10_000
"""Records, of tenants times versions; the one that began first is forgotten for a new one."""
_records: defaultdict[tuple[str, str, str], Record] = defaultdict(Record)
_lock = threading.Lock()


def count(trace: Trace, *, failed: bool) -> None:
    """Count a request that ended, if it reached a model."""
    facts = trace.facts
    if "model" not in facts:
        return
    total = trace.total
    with _lock:
        record = _records[str(facts["model"]), str(facts["version"]), str(facts.get("tenant", ""))]
        if len(_records) > _MOST:
            del _records[next(iter(_records))]
        if failed:
            record.fail.add(total)
            return
        record.success.add(total)
        record.input.add(trace.steps.get("encode", 0.0))
        record.infer.add(trace.steps.get("run", 0.0))
        record.output.add(trace.steps.get("decode", 0.0))
        record.items += int(facts.get("items", 1))
        record.last = time.time_ns() // 1_000_000


def of(model: str, version: str) -> Record:
    """What was answered to the tenant that asks now."""
    tenant = str(current().facts.get("tenant", ""))
    with _lock:
        return _records.get((model, version, tenant), Record())


def clear() -> None:
    with _lock:
        _records.clear()
