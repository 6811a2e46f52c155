"""Work waits for memory and for a processor, in the order of its requests, until its deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from hearth import deadline, settings
from hearth.errors import TooManyRequests
from hearth.tasks import memory_budget
from hearth.tasks.memory_budget import MemoryBudget, admitted
from hearth.tasks.task import Prediction, Task, Usage


@pytest.fixture(autouse=True)
def no_deadline() -> Iterator[None]:
    token = deadline._end.set(None)
    yield
    deadline._end.reset(token)


def refused(budget: MemoryBudget, size: int, *, is_stream: bool = False, seconds: float = 0.05) -> bool:
    """Whether a reservation is refused when its deadline passes."""
    deadline.set_seconds(seconds)
    try:
        with budget.reserve(size, is_stream=is_stream):
            return False
    except TooManyRequests:
        return True


def test_a_refusal_says_when_to_try_again() -> None:
    budget = MemoryBudget(100, turns=1)
    deadline.set_seconds(0.05)
    with budget.reserve(1), pytest.raises(TooManyRequests, match="busy with other requests") as raised:  # noqa: SIM117
        with budget.reserve(1):
            pass
    assert raised.value.retry_after == 1


def test_reservations_fill_the_budget_and_give_it_back() -> None:
    budget = MemoryBudget(100, turns=9)
    with budget.reserve(60):
        assert (budget.reserved, budget.running) == (60, 1)
        assert not refused(budget, 40)
        assert refused(budget, 41)
    assert (budget.reserved, budget.running) == (0, 0)
    assert not refused(budget, 100)


def test_more_than_the_budget_is_the_whole_budget() -> None:
    budget = MemoryBudget(100, turns=9)
    with budget.reserve(1000):
        assert budget.reserved == 100
        assert refused(budget, 1)
    assert budget.reserved == 0


def test_turns_are_limited_but_streams_take_none() -> None:
    budget = MemoryBudget(100, turns=1)
    with budget.reserve(1):
        assert refused(budget, 1)
        assert not refused(budget, 1, is_stream=True)
    with budget.reserve(1, is_stream=True):
        assert budget.running == 0
        assert not refused(budget, 1)


def test_an_error_of_the_work_frees_its_memory() -> None:
    budget = MemoryBudget(100, turns=1)

    def fail() -> None:
        with budget.reserve(100):
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fail()
    assert (budget.reserved, budget.running) == (0, 0)


def test_a_deadline_that_has_passed_is_refused_at_once_only_if_there_is_no_room() -> None:
    budget = MemoryBudget(100, turns=9)
    assert not refused(budget, 1, seconds=-1)
    with budget.reserve(100):
        started = time.monotonic()
        assert refused(budget, 1, seconds=-1)
        assert time.monotonic() - started < 1


def test_a_large_reservation_is_not_overtaken_by_small_ones() -> None:
    budget = MemoryBudget(100, turns=9)
    order: list[str] = []

    def work(name: str, size: int) -> None:
        with budget.reserve(size):
            order.append(name)

    with budget.reserve(50):
        threads = []
        for name, size in (("large", 100), ("small", 10)):
            threads.append(threading.Thread(target=work, args=(name, size)))
            threads[-1].start()
            while len(budget._queue) < len(threads):
                time.sleep(0.001)
        time.sleep(0.05)
        assert order == []  # the small one would fit
    for thread in threads:
        thread.join(5)
    assert order == ["large", "small"]


def test_a_refused_reservation_does_not_block_the_next_one() -> None:
    budget = MemoryBudget(100, turns=9)
    with budget.reserve(50):
        assert refused(budget, 100)
        assert not refused(budget, 50)


def test_only_the_local_server_has_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    for megabytes, total in (("0", None), ("3", 3 * settings.MEGABYTE)):
        monkeypatch.setenv("HEARTH_WORK_MEMORY_MB", megabytes)
        settings.get.cache_clear()
        memory_budget.get.cache_clear()
        budget = memory_budget.get()
        assert (budget.total if budget else None) == total
        assert budget is None or budget.turns >= memory_budget.TURNS_PER_CPU
    settings.get.cache_clear()
    memory_budget.get.cache_clear()


class Budget:
    """A budget that records what is held."""

    def __init__(self) -> None:
        self.held: list[int] = []

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        self.held.append(size)
        yield
        self.held.pop()


@pytest.mark.parametrize("has_budget", [True, False])
def test_the_work_of_a_task_waits_for_its_memory(monkeypatch: pytest.MonkeyPatch, has_budget: bool) -> None:
    budget = Budget()
    monkeypatch.setattr(memory_budget, "get", lambda: budget if has_budget else None)
    monkeypatch.setattr(memory_budget, "estimate", lambda *_: 7)
    streams: list[Any] = []

    def predict(model: Any, request: Any) -> Prediction:
        return Prediction(list(budget.held), Usage())

    def stream(model: Any, request: Any) -> Any:
        return SimpleNamespace(reserve=lambda *reservation: streams.append(reservation))

    plain: Any = admitted(Task("text-classification", object, Any, predict, {}))
    assert plain.predict("model", "request").output == ([7] if has_budget else [])
    assert budget.held == []
    assert plain.stream is None
    streaming: Any = admitted(Task("text-generation", object, Any, predict, {}, stream))
    assert streaming.predict("model", "request").output == ([7] if has_budget else [])
    streaming.stream("model", "request")
    assert streams == ([(budget, 7)] if has_budget else [])


def test_parsed_bodies_have_a_quarter_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for megabytes, total in (("0", None), ("4", settings.MEGABYTE)):
        monkeypatch.setenv("HEARTH_WORK_MEMORY_MB", megabytes)
        settings.get.cache_clear()
        memory_budget.documents.cache_clear()
        budget = memory_budget.documents()
        assert (budget.total if budget else None) == total
    settings.get.cache_clear()
    memory_budget.documents.cache_clear()
