"""Statistics: counts and times of this execution environment alone."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from hearth.models.cache import warm
from hearth.protocols.base import Answer, Call
from hearth.protocols.open_inference.target import target
from hearth.telemetry import statistics

NOTE = {"X-Hearth-Statistics": "of this execution environment alone, by every dialect; the fleet's are its metrics"}


class Duration(Struct, frozen=True):
    count: int
    ns: int


class Stats(Struct, frozen=True):
    """`queue` and the cache have zeros: there is neither."""

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    cache_hit: Duration
    cache_miss: Duration


class ModelStats(Struct, frozen=True):
    name: str
    version: str
    last_inference: int
    """Milliseconds since 1970; 0: none yet."""
    inference_count: int
    """Items; a request of another dialect than this one counts as one."""
    execution_count: int
    """Requests."""
    inference_stats: Stats
    batch_stats: list[Any] = []
    memory_usage: list[Any] = []


class Statistics(Struct, frozen=True):
    model_stats: list[ModelStats]


def one(call: Call) -> Answer:
    """A bare graph counts with its model."""
    manifest = target(call).manifest
    found = Statistics([stats(manifest.model, manifest.version)])
    return Answer(msgspec.json.encode(found), headers=NOTE)


def every(call: Call) -> Answer:
    registry = warm().registry
    found = [stats(name, version) for name in registry.models() for version in registry.versions(name)]
    return Answer(msgspec.json.encode(Statistics(found)), headers=NOTE)


def stats(name: str, version: str) -> ModelStats:
    record, none = statistics.of(name, version), Duration(0, 0)

    def duration(sum_: statistics.Sum) -> Duration:
        return Duration(sum_.count, round(sum_.ms * 1e6))

    parts = Stats(
        duration(record.success),
        duration(record.fail),
        Duration(record.success.count, 0),
        duration(record.input),
        duration(record.infer),
        duration(record.output),
        none,
        none,
    )
    return ModelStats(name, version, record.last, record.items, record.success.count, parts)
