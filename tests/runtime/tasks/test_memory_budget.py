"""Work waits for its part of the memory, in order, and is refused at its deadline."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from hearth import deadline, settings
from hearth.errors import TooManyRequests
from hearth.tasks import memory_budget
from hearth.tasks.memory_budget import MemoryBudget
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
    monkeypatch.setenv("HEARTH_RUN_SECONDS", "4")
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
