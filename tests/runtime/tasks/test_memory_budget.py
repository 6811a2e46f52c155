"""Work waits for its part of the memory, in order, and is refused at its deadline."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from hearth import deadline, settings
from hearth.errors import TooManyRequests
from hearth.tasks import memory_budget
from hearth.tasks.memory_budget import MemoryBudget, admitted
from hearth.tasks.task import Prediction, Task, Usage
from hearth_build.cli import serve


def start(budget: MemoryBudget, size: int, name: str, order: list[str], end: threading.Event) -> threading.Thread:
    """Reserve in a thread until `end`; `order` gets the name once the reservation is granted."""

    def hold() -> None:
        with budget.reserve(size):
            order.append(name)
            end.wait(10)

    queued = len(budget._queue)
    thread = threading.Thread(target=hold)
    thread.start()
    until = time.monotonic() + 10
    while name not in order and len(budget._queue) <= queued and time.monotonic() < until:
        time.sleep(0.001)
    return thread


def test_reservations_are_granted_in_order_so_that_large_ones_are_not_starved() -> None:
    budget, order, ends = MemoryBudget(100, 10), list[str](), [threading.Event() for _ in range(3)]
    threads = [start(budget, size, name, order, end) for size, name, end in zip((60, 80, 10), "abc", ends, strict=True)]
    assert order == ["a"]  # c would fit, but b is before it
    ends[0].set()
    threads[0].join(10)
    until = time.monotonic() + 10
    while len(order) < 3 and time.monotonic() < until:
        time.sleep(0.001)
    assert order == ["a", "b", "c"]
    for end in ends:
        end.set()
    for thread in threads:
        thread.join(10)
    assert (budget.reserved, budget.running) == (0, 0)


def test_more_than_the_budget_is_the_whole_budget() -> None:
    budget = MemoryBudget(100, 10)
    with budget.reserve(10**9):
        assert budget.reserved == 100
    assert budget.reserved == 0


def test_an_error_returns_the_reservation() -> None:
    budget = MemoryBudget(100, 1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), budget.reserve(100):
            raise ZeroDivisionError
    assert (budget.reserved, budget.running) == (0, 0)


def test_a_request_is_refused_at_its_deadline_and_those_behind_it_go_on() -> None:
    budget = MemoryBudget(100, 10)
    with budget.reserve(60):
        deadline.set_seconds(0.05)
        try:
            with pytest.raises(TooManyRequests) as refusal, budget.reserve(80):
                pass
            assert refusal.value.retry_after
            with budget.reserve(40):
                assert budget.reserved == 100
        finally:
            deadline._end.set(None)


def test_computations_take_turns_and_streams_take_none() -> None:
    budget = MemoryBudget(100, 1)
    with budget.reserve(1), budget.reserve(1, is_stream=True):
        assert budget.running == 1


@pytest.fixture
def client(serving: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("HEARTH_WORK_MEMORY_MB", "40")
    monkeypatch.setenv("HEARTH_RUN_SECONDS", "0.2")
    for cached in (settings.get, memory_budget.get, memory_budget.documents):
        cached.cache_clear()
    with TestClient(serve.app()) as client:
        yield client
    for cached in (memory_budget.get, memory_budget.documents):
        cached.cache_clear()


def test_large_bodies_wait_for_memory_to_be_parsed_and_small_ones_do_not(client: TestClient) -> None:
    large = json.dumps({"inputs": ["good"] * 20_000})
    documents = memory_budget.documents()
    assert documents is not None
    with documents.reserve(documents.total):
        assert client.post("/models/sentiment-en", json={"inputs": "good"}).status_code == 200
        assert client.post("/models/sentiment-en", content=large).status_code == 429
    assert client.post("/models/sentiment-en", content=large).status_code == 413  # too many texts
    assert documents.reserved == 0


def test_work_waits_for_memory(client: TestClient) -> None:
    budget = memory_budget.get()
    assert budget is not None
    with budget.reserve(budget.total):
        refused = client.post("/models/sentiment-en", json={"inputs": "good"})
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert client.get("/models").status_code == 200
    assert client.post("/models/sentiment-en", json={"inputs": "good"}).status_code == 200
    assert budget.reserved == 0


def test_a_function_has_no_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1769")
    for cached in (settings.get, memory_budget.get, memory_budget.documents):
        cached.cache_clear()
    assert memory_budget.get() is None
    assert memory_budget.documents() is None
    for cached in (settings.get, memory_budget.get, memory_budget.documents):
        cached.cache_clear()


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
