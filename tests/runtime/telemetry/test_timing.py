"""The times and log fields of a request."""

from __future__ import annotations

import contextvars
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from hearth.tasks.task import Usage
from hearth.telemetry.timing import Timing, begin, current, step, time_tokens


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock whose only item is the time in seconds."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def fail(clock: list[float]) -> None:
    clock[0] += 1
    raise ValueError("x")


def test_steps_are_added_up_by_name_in_milliseconds(clock: list[float]) -> None:
    timing = begin()
    for seconds in (0.25, 0.5):
        with step("run"):
            clock[0] += seconds
    with pytest.raises(ValueError, match="x"), step("decode"):
        fail(clock)
    assert timing.steps == {"run": 750.0, "decode": 1000.0}
    assert timing.total == 1750.0
    assert timing is current()


def test_a_direct_call_has_a_timing_too() -> None:
    def run() -> tuple[Timing, Timing]:
        return current(), current()

    first, second = contextvars.Context().run(run)
    assert first is second
    assert contextvars.Context().run(current) is not first


def test_the_header_has_all_steps_and_says_whether_a_model_was_loaded(clock: list[float]) -> None:
    timing = begin()
    timing.steps["run"] = 1.23456
    clock[0] += 0.0105
    assert timing.server_timing() == "run;dur=1.23, total;dur=10.50"
    timing.fields["cold"] = False
    assert not timing.server_timing().startswith("cold")
    timing.fields["cold"] = True
    assert re.fullmatch(r"cold, run;dur=1\.23, total;dur=10\.50", timing.server_timing())


@pytest.mark.parametrize(
    ("usage", "fields"),
    [
        (Usage(items=2), {"items": 2}),
        (Usage(items=1, input_tokens=3, output_tokens=4), {"items": 1, "input_tokens": 3, "output_tokens": 4}),
        (Usage(items=1, seconds=1.5, seed=0), {"items": 1, "seconds": 1.5, "seed": 0}),
    ],
)
def test_usage_is_logged_where_there_is_some(usage: Usage, fields: dict[str, Any]) -> None:
    timing = Timing()
    timing.record_usage(usage)
    assert timing.fields == fields


def test_tokens_have_the_time_of_the_first_and_the_gaps(clock: list[float]) -> None:
    def tokens() -> Iterator[str]:
        for text, seconds in (("a", 0.1), ("b", 0.02), ("c", 0.04), ("d", 0.03)):
            clock[0] += seconds
            yield text

    timing = begin()
    assert list(time_tokens(tokens())) == ["a", "b", "c", "d"]
    assert timing.steps == {name: pytest.approx(ms) for name, ms in {"first": 100, "gap": 30, "gap_max": 40}.items()}


def test_a_single_token_has_no_gap_and_a_stream_may_be_left(clock: list[float]) -> None:
    timing = begin()
    assert list(time_tokens(iter(["a"]))) == ["a"]
    assert timing.steps.keys() == {"first"}
    timing = begin()
    stream = time_tokens(iter(["a", "b", "c"]))
    assert [next(stream), next(stream)] == ["a", "b"]
    stream.close()  # type: ignore[attr-defined]
    assert timing.steps.keys() == {"first", "gap", "gap_max"}
    assert list(time_tokens(iter(()))) == []
