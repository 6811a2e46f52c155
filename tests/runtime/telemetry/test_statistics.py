"""Counts and times of each version, apart for each tenant, and bounded."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from hearth.telemetry import statistics
from hearth.telemetry.timing import Timing


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    statistics.clear()
    yield
    statistics.clear()


def timing(model: str = "m", version: str = "1", **fields: str | int) -> Timing:
    result = Timing()
    result.fields.update(model=model, version=version, **fields)
    result.steps.update(encode=1.0, run=2.0, decode=3.0)
    return result


def test_a_success_counts_once_and_its_items_individually() -> None:
    before = time.time_ns() // 1_000_000
    statistics.count(timing(items=5), failed=False)
    statistics.count(timing(), failed=False)
    record = statistics.get_record("m", "1", "")
    assert (record.success.count, record.fail.count, record.items) == (2, 0, 6)
    assert [(part.count, part.ms) for part in (record.input, record.infer, record.output)] == [(2, 2), (2, 4), (2, 6)]
    assert record.success.ms > 0
    assert before <= record.last <= time.time_ns() // 1_000_000


def test_a_failure_counts_as_one_only() -> None:
    statistics.count(timing(items=5), failed=True)
    record = statistics.get_record("m", "1", "")
    assert (record.success.count, record.fail.count, record.items, record.last) == (0, 1, 0, 0)
    assert record.fail.ms > 0
    assert record.infer.count == 0


def test_steps_that_were_not_taken_count_as_zero() -> None:
    plain = timing()
    plain.steps.clear()
    statistics.count(plain, failed=False)
    record = statistics.get_record("m", "1", "")
    assert (record.input.ms, record.infer.ms, record.output.ms) == (0, 0, 0)


def test_versions_and_tenants_are_apart() -> None:
    statistics.count(timing(version="1", tenant="a"), failed=False)
    statistics.count(timing(version="2", tenant="a"), failed=False)
    statistics.count(timing(version="2", tenant="a"), failed=False)
    counts = {
        (version, tenant): statistics.get_record("m", version, tenant).success.count
        for version in ("1", "2")
        for tenant in ("a", "b", "")
    }
    assert {key: count for key, count in counts.items() if count} == {("1", "a"): 1, ("2", "a"): 2}


def test_a_request_without_a_model_is_not_counted() -> None:
    statistics.count(Timing(), failed=True)
    assert not statistics._records


def test_the_oldest_record_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "_MAX_RECORDS", 2)
    for model in ("a", "b", "a", "c"):
        statistics.count(timing(model), failed=False)
    assert [statistics.get_record(model, "1", "").success.count for model in "abc"] == [0, 1, 1]


def test_an_unknown_version_has_an_empty_record_that_is_not_kept() -> None:
    assert statistics.get_record("m", "1", "").success.count == 0
    assert not statistics._records


def test_the_interval_of_the_accuracy_is_wilsons() -> None:
    """As statsmodels' `proportion_confint(8, 10, method="wilson")`."""
    assert statistics.accuracy_interval(8, 10) == pytest.approx((0.490162, 0.8, 0.943318), abs=1e-6)
    assert statistics.accuracy_interval(5, 5)[2] == 1
