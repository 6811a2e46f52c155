"""Counts by model, version and hour: of fixed size, mergeable, without a payload."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec
import pytest

from hearth.telemetry import sketches
from hearth.telemetry.sketches import Sketch
from hearth.telemetry.timing import Timing


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    sketches.clear()
    yield
    sketches.clear()


def finished(**fields: str | int) -> Timing:
    timing = Timing()
    timing.fields.update(model="m", version="1", items=1, **fields)
    timing.observed = {}
    return timing


def test_counts_are_added_and_taken_once() -> None:
    for _ in range(3):
        timing = finished()
        timing.observed = {("label", 1): 2, ("score", 19): 2}
        sketches.add(timing)
    ((model, version, _), data), *others = sketches.take_unwritten().items()
    assert not others
    assert (model, version) == ("m", "1")
    sketch = msgspec.json.decode(data, type=Sketch)
    assert (sketch.requests, sketch.counts["label"][:3], sum(sketch.counts["score"])) == (3, [0, 6, 0], 6)
    assert not sketches.take_unwritten()


def test_windows_that_were_not_written_are_taken_again() -> None:
    sketches.add_observed("m", "1", {("label", 0): 1})
    keys = set(sketches.take_unwritten())
    sketches.give_back(keys)
    assert set(sketches.take_unwritten()) == keys


def test_usage_counts_where_a_function_observes_nothing() -> None:
    sketches.add(finished(input_tokens=7, output_tokens=40))
    counts = sketches.recent("m", "1").counts
    assert set(counts) == {"tokens", "output_tokens"}
    assert sum(counts["tokens"]) == 1


def test_a_window_does_not_grow_with_its_requests() -> None:
    sizes = []
    for requests in (1, 10_000):
        for number in range(requests):
            sketches.add_observed("m", "1", {("score", number % 20): 1, ("label", number % 256): 1})
        ((_, data),) = sketches.take_unwritten().items()
        sizes.append(len(json.loads(data)["counts"]["score"]))
    assert sizes[0] == sizes[1]


def test_old_hours_are_dropped_once_written(monkeypatch: pytest.MonkeyPatch) -> None:
    for hour in range(5):
        monkeypatch.setattr("time.time", lambda hour=hour: hour * 3600.0 + 5)
        sketches.add_observed("m", "1", {("label", 0): 1})
        sketches.take_unwritten()
    assert {key[2] for key in sketches._windows} == {3, 4}
    assert sketches.recent("m", "1").requests == 2


def test_merging_leaves_out_what_is_unknown() -> None:
    merged = Sketch(1, {"correct": [1, 2]})
    merged.merge(Sketch(2, {"correct": [10, 20], "future": [1], "rating": [1]}))
    assert merged == Sketch(3, {"correct": [11, 22]})
