"""The short form of `python -m tests.load.overload`, which checks counts and no times."""

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
        assert await client.send() == 200
        counts = statuses(await open_loop(client, 5000, 0.02, 1))
        assert await client.send() == 200
        return counts
    finally:
        client.close()


def test_an_overloaded_server_refuses_excess_requests_and_serves_the_others() -> None:
    with serving(ROOT / "export" / "zoo", {"HEARTH_MAX_QUEUE": "3"}) as port:
        count = asyncio.run(_burst(port, json.dumps({"inputs": TEXT * 3}).encode()))
        assert set(count) == {200, 429}, count
        assert count[200] >= 3
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/models/{MODEL}/health", timeout=20) as response:
            assert response.status == 200


class BlockingApp:
    """An app that responds only after `release` is set."""

    def __init__(self) -> None:
        self.release = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "POST":
            await self.release.wait()
        if scope["path"] == "/fails":
            raise ValueError
        await Response(b"done")(scope, receive, send)


async def _fill_the_queue() -> None:
    responses: list[tuple[str, int, str | None]] = []
    app = BlockingApp()
    admission = ConcurrencyLimit(
        app, lambda request, failure: Response(failure.code, failure.status, {"retry-after": "1"})
    )

    async def send_request(path: str, method: str = "POST") -> None:
        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                responses.append((path, message["status"], dict(message["headers"]).get(b"retry-after")))

        scope = {"type": "http", "method": method, "path": path, "headers": []}
        await admission(scope, lambda: asyncio.sleep(0), send)

    pending = [asyncio.create_task(send_request(path)) for path in ("/one", "/fails")]
    await asyncio.sleep(0)
    await send_request("/three")
    await send_request("/health", "GET")
    assert responses == [("/three", 429, b"1"), ("/health", 200, None)]
    app.release.set()
    await asyncio.gather(*pending, return_exceptions=True)
    await send_request("/four")
    await send_request("/five")
    assert [status for _, status, _ in responses[2:]] == [200, 200, 200]


def test_a_place_in_the_queue_is_freed_however_its_request_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_MAX_QUEUE", "2")
    settings.get.cache_clear()
    try:
        asyncio.run(_fill_the_queue())
    finally:
        settings.get.cache_clear()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/models/x", {"error_type": "too_many_requests"}),
        ("/v1/embeddings", {"error": {"code": "rate_limit_exceeded"}}),
        ("/v2/models/x/infer", {"error": "The server has too many requests"}),
        ("/endpoints/x/invocations", {"message": "The server has too many requests"}),
    ],
)
def test_a_refusal_has_the_error_format_of_its_protocol(
    monkeypatch: pytest.MonkeyPatch, path: str, expected: Any
) -> None:
    full = settings.get()._replace(max_queue=0)
    monkeypatch.setattr(settings, "get", lambda: full)
    response = TestClient(create_app((), local=True)).post(path, json={})
    assert response.status_code == 429
    assert response.headers["retry-after"] == "1"
    assert response.headers["x-request-id"]
    body = response.json()
    for name, value in expected.items():
        if isinstance(value, dict):
            assert value.items() <= body[name].items()
        else:
            assert body[name].startswith(value)
