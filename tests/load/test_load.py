"""Short forms of `python -m tests.load.overload` and `python -m tests.load.soak`: counts, and no clock."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections import Counter
from typing import Any

import pytest
from starlette.responses import Response
from starlette.testclient import TestClient

from hearth import settings
from hearth.http.asgi import create_app
from hearth.http.concurrency_limit import ConcurrencyLimit
from tests.load.open_loop import Client, open_loop, statuses
from tests.load.overload import MODEL, ROOT, TEXT, serving


async def _burst(port: int, body: bytes) -> Counter[int]:
    client = Client(port, f"/models/{MODEL}", body)
    try:
        assert await client.ask() == 200
        found = statuses(await open_loop(client, 5000, 0.02, 1))
        assert await client.ask() == 200
        return found
    finally:
        client.close()


def test_a_server_with_too_much_to_do_says_so_and_does_the_rest() -> None:
    with serving(ROOT / "export" / "zoo", {"HEARTH_MAX_QUEUE": "3"}) as port:
        count = asyncio.run(_burst(port, json.dumps({"inputs": TEXT * 3}).encode()))
        assert set(count) == {200, 429}, count
        assert count[200] >= 3
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/models/{MODEL}/health", timeout=20) as answer:
            assert answer.status == 200


class Slow:
    """An app that answers when it is let."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "POST":
            await self.go.wait()
        if scope["path"] == "/fails":
            raise ValueError
        await Response(b"done")(scope, receive, send)


async def _crowd() -> None:
    said: list[tuple[str, int, str | None]] = []
    app = Slow()
    admission = ConcurrencyLimit(
        app, lambda request, failure: Response(failure.code, failure.status, {"retry-after": "1"})
    )

    async def ask(path: str, method: str = "POST") -> None:
        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                said.append((path, message["status"], dict(message["headers"]).get(b"retry-after")))

        scope = {"type": "http", "method": method, "path": path, "headers": []}
        await admission(scope, lambda: asyncio.sleep(0), send)

    waiting = [asyncio.create_task(ask(path)) for path in ("/one", "/fails")]
    await asyncio.sleep(0)
    await ask("/three")
    await ask("/health", "GET")
    assert said == [("/three", 429, b"1"), ("/health", 200, None)]
    app.go.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    await ask("/four")
    await ask("/five")
    assert [status for _, status, _ in said[2:]] == [200, 200, 200]


def test_a_place_is_free_again_however_its_request_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_MAX_QUEUE", "2")
    settings.get.cache_clear()
    try:
        asyncio.run(_crowd())
    finally:
        settings.get.cache_clear()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/models/x", {"error_type": "too_many_requests"}),
        ("/v1/embeddings", {"error": {"code": "rate_limit_exceeded"}}),
        ("/v2/models/x/infer", {"error": "The server has too many requests"}),
        ("/endpoints/x/invocations", {"message": "The server has too many requests"}),
    ],
)
def test_a_refusal_is_in_the_words_of_the_dialect(monkeypatch: pytest.MonkeyPatch, path: str, words: Any) -> None:
    full = settings.get()._replace(max_queue=0)
    monkeypatch.setattr(settings, "get", lambda: full)
    answer = TestClient(create_app((), local=True)).post(path, json={})
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["x-request-id"]
    told = answer.json()
    for name, value in words.items():
        if isinstance(value, dict):
            assert value.items() <= told[name].items()
        else:
            assert told[name].startswith(value)
