"""Work waits for memory and for a processor, in the order of its requests, until its deadline."""

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
