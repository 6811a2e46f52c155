"""Slots and memory of the local server are freed however a request ends; slow clients hold none."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from hearth import settings
from hearth.errors import TooManyRequests
from hearth.http.asgi import READERS, create_app
from hearth.http.concurrency_limit import ConcurrencyLimit
from hearth.models.cache import warm_cache
from hearth.storage.file import FileStore
from hearth_build.cli.serve import tasks
from hearth_functions.text_classification import app as text

BODY = b'{"inputs": "good"}'
IMMEDIATE = ("/v2/health/live", "/v2/health/ready", "/ping", "/metrics")
"""Paths that are answered on the event loop."""


@pytest.fixture
def small_queue(serving: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HEARTH_MAX_QUEUE", "2")
    settings.get.cache_clear()
    yield
    monkeypatch.undo()
    settings.get.cache_clear()


@pytest.mark.usefixtures("small_queue")
def test_slots_are_limited_and_come_back() -> None:
    limit = ConcurrencyLimit()
    limit.take_slot()
    limit.take_slot()
    with pytest.raises(TooManyRequests) as refused:
        limit.take_slot()
    assert refused.value.retry_after == 1
    limit.release_slot()
    limit.take_slot()


@pytest.mark.usefixtures("small_queue")
def test_the_bytes_of_all_bodies_are_limited() -> None:
    limit, most = ConcurrencyLimit(), 2 * settings.get().max_body
    limit.add_body_bytes(most)
    with pytest.raises(TooManyRequests):
        limit.add_body_bytes(1)
    limit.remove_body_bytes(most)
    limit.add_body_bytes(most // 8 * 5)
    with pytest.raises(TooManyRequests):
        limit.add_body_bytes(most // 2)


@pytest.mark.usefixtures("small_queue")
def test_a_smaller_limit_holds_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = ConcurrencyLimit()
    limit.take_slot()
    limit.take_slot()
    monkeypatch.setenv("HEARTH_MAX_QUEUE", "1")
    settings.get.cache_clear()
    with pytest.raises(TooManyRequests):
        limit.take_slot()


class Request:
    """One request to an ASGI app whose body arrives when the test says so."""

    def __init__(self, app: Any, path: str, method: str = "POST") -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.status = 0
        scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b"", "root_path": ""}
        self.task = asyncio.create_task(app(scope, self.messages.get, self.send))

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]

    def send_body(self, body: bytes, *, is_complete: bool = True) -> None:
        self.messages.put_nowait({"type": "http.request", "body": body, "more_body": not is_complete})

    async def finish(self) -> int:
        await self.task
        return self.status


async def _read(app: Any, path: str) -> int:
    request = Request(app, path, "GET")
    request.send_body(b"")
    return await request.finish()


async def _ask(app: Any, body: bytes = BODY, path: str = "/models/sentiment-en") -> int:
    request = Request(app, path)
    request.send_body(body)
    return await request.finish()


@pytest.mark.usefixtures("small_queue")
def test_a_body_that_does_not_arrive_holds_no_slot() -> None:
    async def scenario() -> None:
        app = create_app(text.TASKS, local=True)
        slow = [Request(app, "/models/sentiment-en") for _ in range(5)]
        for request in slow:
            request.send_body(b"{", is_complete=False)
        await asyncio.sleep(0.01)
        assert await _ask(app) == 200
        for request in slow:
            request.send_body(BODY[1:])
            assert await request.finish() == 200

    asyncio.run(scenario())


@pytest.mark.usefixtures("small_queue")
def test_a_body_that_arrives_too_slowly_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_BODY_SECONDS", "0.1")
    settings.get.cache_clear()

    async def scenario() -> None:
        request = Request(create_app(text.TASKS, local=True), "/models/sentiment-en")
        request.send_body(b"{", is_complete=False)
        assert await request.finish() == 408

    asyncio.run(scenario())


@pytest.mark.usefixtures("small_queue")
@pytest.mark.parametrize("body", [BODY, b"{", b'{"inputs": 3}', b""], ids=["success", "no JSON", "wrong", "empty"])
def test_a_slot_comes_back_however_a_request_ends(body: bytes) -> None:
    async def scenario() -> None:
        app = create_app(text.TASKS, local=True)
        for _ in range(4):
            await _ask(app, body)
        assert await _ask(app) == 200

    asyncio.run(scenario())


@pytest.mark.usefixtures("small_queue")
def test_health_and_catalogue_answer_while_all_workers_are_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def block(model: Any, request: Any) -> Any:
        release.wait(30)
        return text.predict(model, request)

    busy = [type(task)(task.id, task.request, task.response, block, task.example) for task in text.TASKS[:1]]

    async def scenario() -> None:
        app = create_app(busy, local=True)
        working = [asyncio.create_task(_ask(app)) for _ in range(2)]
        await asyncio.sleep(0.1)
        assert await _ask(app) == 429
        for path in (*IMMEDIATE, "/models", "/v1/models"):
            assert await asyncio.wait_for(_read(app, path), 10) == 200, path
        release.set()
        assert await asyncio.gather(*working) == [200, 200]

    asyncio.run(scenario())


@pytest.fixture
def respond(serving: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let the store respond only while the event is set."""
    monkeypatch.setenv("HEARTH_ALIAS_SECONDS", "60")
    for cached in (settings.get, warm_cache):
        cached.cache_clear()
    event = threading.Event()

    def wait(read: Any) -> Any:
        def read_later(self: FileStore, *args: Any, **options: Any) -> Any:
            event.wait(5)
            return read(self, *args, **options)

        return read_later

    for name in ("get_with_etag", "iter_paths"):
        monkeypatch.setattr(FileStore, name, wait(getattr(FileStore, name)))
    yield event
    event.set()


def test_a_store_that_does_not_respond_holds_up_only_the_route_that_reads_it(
    serving: Path, respond: threading.Event
) -> None:
    answered = (*IMMEDIATE, "/models", "/v1/models", "/models/sentiment-en")
    (serving / "catalog.json").write_bytes(b"{}")

    async def scenario() -> None:
        app = create_app(text.TASKS, local=True)
        respond.set()
        for path in answered:
            assert await _read(app, path) == 200
        respond.clear()
        path = "/models/sentiment-en/versions"
        waiting = [asyncio.create_task(_read(app, path)) for _ in range(READERS + 1)]
        await asyncio.sleep(0.1)
        for path in answered:
            assert await asyncio.wait_for(_read(app, path), 10) == 200, path
        assert not any(task.done() for task in waiting)
        respond.set()
        assert set(await asyncio.gather(*waiting)) == {200}

    asyncio.run(scenario())


def test_the_document_is_made_beside_the_event_loop(respond: threading.Event) -> None:
    async def scenario() -> None:
        app = create_app(text.TASKS, local=True)
        document = asyncio.create_task(_read(app, "/openapi.json"))
        asyncio.get_running_loop().call_later(0.1, respond.set)
        await asyncio.sleep(0.01)
        for path in IMMEDIATE:
            assert await _read(app, path) == 200
        assert not document.done()
        assert await document == 200

    asyncio.run(scenario())


def test_a_stream_holds_its_slot_until_its_end_or_its_client_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    from hearth_build import ZOO

    monkeypatch.setenv("HEARTH_STORE", ZOO.as_uri())
    monkeypatch.setenv("HEARTH_MAX_QUEUE", "1")
    for cached in (settings.get, warm_cache):
        cached.cache_clear()
    document = {"model": "gpt-shakespeare", "prompt": "Yes", "max_tokens": 3, "stream": True}
    try:
        with TestClient(create_app(tasks(), local=True)) as client:
            for _ in range(3):
                with client.stream("POST", "/v1/completions", json=document) as response:
                    assert response.status_code == 200
                    next(response.iter_bytes())
            assert client.post("/v1/completions", content=json.dumps(document)).status_code == 200
    finally:
        monkeypatch.undo()
        for cached in (settings.get, warm_cache):
            cached.cache_clear()
