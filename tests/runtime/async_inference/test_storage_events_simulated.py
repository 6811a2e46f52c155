"""The rules of storage events in a simulated world, which must also catch handlers with deliberate faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest

from tests.faults import simulator
from tests.faults.simulator import Handle, simulate
from tests.faults.world import Message

SEEDS = 150


@pytest.fixture(autouse=True)
def stage() -> Iterator[None]:
    with simulator.stage():
        yield


@pytest.mark.slow
def test_every_upload_ends_in_one_result_or_among_the_dead_letters() -> None:
    faults: set[str] = set()
    for seed in range(SEEDS):
        run = simulate(seed)
        assert not run.wrong, f"{simulator.repeat(seed)}  # {run.wrong[0]}"
        faults |= run.world.faults.keys()
    assert faults == {"kill", "throttle", "lost", "stall", "jump", "repeat"}


def test_a_seed_repeats_a_run() -> None:
    first, second = simulate(7), simulate(7)
    assert first.world.objects == second.world.objects
    assert first.world.letters == second.world.letters
    assert first.world.objects != simulate(8).world.objects


def acknowledge_all(handle: Handle) -> Handle:
    def faulty(batch: list[Message]) -> Any:
        handle(batch)
        return {"batchItemFailures": []}

    return faulty


def acknowledge_first(handle: Handle) -> Handle:
    """Acknowledge the first message without handling it."""

    def faulty(batch: list[Message]) -> Any:
        handle(batch[1:])
        return {"batchItemFailures": []}

    return faulty


def ignore_exit(handle: Handle) -> Handle:
    def faulty(batch: list[Message]) -> Any:
        try:
            return handle(batch)
        except SystemExit:
            return {"batchItemFailures": []}

    return faulty


@pytest.mark.parametrize("spoil", [acknowledge_all, acknowledge_first, ignore_exit])
def test_a_handler_that_acknowledges_too_early_is_caught(spoil: Callable[[Handle], Handle]) -> None:
    assert any("was lost" in fault for seed in range(10) for fault in simulate(seed, spoil=spoil).wrong)


def test_writes_without_a_condition_are_caught() -> None:
    faults = [fault for seed in range(20) for fault in simulate(seed, conditions=False).wrong]
    assert any("results of version" in fault for fault in faults)
    assert any("an older result came after a newer one" in fault for fault in faults)


@pytest.mark.parametrize(
    ("target", "replacement", "fault"),
    [
        ("hearth.async_inference.storage_events._version", lambda _: "", "was lost"),
        ("hearth.async_inference.dead_letters.poison_safe_order", list, "a neighbour of what went wrong"),
        ("hearth.async_inference.dead_letters.delete_message", lambda _: None, "a neighbour of what went wrong"),
        (
            "hearth.async_inference.dead_letters.REASONS",
            {"bad_request": "cannot read needle-1"},
            "a dead letter quotes an object",
        ),
        (
            "hearth.async_inference.dead_letters.record_failure",
            lambda *_: True,
            "nobody is told why there is no result",
        ),
        ("hearth.async_inference.results._update_latest", lambda *_: None, "the newest result is not shown"),
        ("hearth.async_inference.results._is_older", lambda *_: True, "an older result came after a newer one"),
    ],
)
def test_other_faults_of_a_handler_are_caught(target: str, replacement: Any, fault: str) -> None:
    with patch(target, replacement):
        assert any(fault in reported for seed in range(0, 100, 5) for reported in simulate(seed).wrong)
