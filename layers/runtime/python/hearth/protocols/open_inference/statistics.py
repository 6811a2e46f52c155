"""Statistics: counts and times of this execution environment only."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from hearth.auth.api_keys import current_tenant
from hearth.models.cache import warm_cache
from hearth.protocols.base import Request, Response
from hearth.protocols.open_inference.target import find_target
from hearth.telemetry import statistics

SCOPE = {
    "X-Hearth-Statistics": "only of this execution environment, over all protocols; the metrics cover all environments"
}


class StatisticDuration(Struct, frozen=True):
    count: int
    ns: int


class InferenceStatistics(Struct, frozen=True):
    """`queue` and the cache are always zero, because there are none."""

    success: StatisticDuration
    fail: StatisticDuration
    queue: StatisticDuration
    compute_input: StatisticDuration
    compute_infer: StatisticDuration
    compute_output: StatisticDuration
    cache_hit: StatisticDuration
    cache_miss: StatisticDuration


class ModelStatistics(Struct, frozen=True):
    name: str
    version: str
    last_inference: int
    """Milliseconds since 1970; 0: never."""
    inference_count: int
    """Number of items."""
    execution_count: int
    """Number of requests."""
    inference_stats: InferenceStatistics
    batch_stats: list[Any] = []
    memory_usage: list[Any] = []


class ModelStatisticsResponse(Struct, frozen=True):
    model_stats: list[ModelStatistics]


def model_statistics(request: Request) -> Response:
    """Statistics of a model, including requests to its bare graphs."""
    ref = find_target(request).resolved.ref
    return _response([_statistics(ref.model, ref.version)])


def all_model_statistics(request: Request) -> Response:
    models = warm_cache().registry.all_versions().items()
    return _response([_statistics(name, version) for name, versions in models for version in versions])


def _response(model_stats: list[ModelStatistics]) -> Response:
    return Response(msgspec.json.encode(ModelStatisticsResponse(model_stats)), headers=SCOPE)


def _statistics(name: str, version: str) -> ModelStatistics:
    record, zero = statistics.get_record(name, version, current_tenant()), StatisticDuration(0, 0)
    inference = InferenceStatistics(
        _duration(record.success),
        _duration(record.fail),
        StatisticDuration(record.success.count, 0),
        _duration(record.input),
        _duration(record.infer),
        _duration(record.output),
        zero,
        zero,
    )
    return ModelStatistics(name, version, record.last, record.items, record.success.count, inference)


def _duration(duration: statistics.Duration) -> StatisticDuration:
    return StatisticDuration(duration.count, round(duration.ms * 1e6))
