"""The short form of `python -m tests.load.overload`, which checks counts and no times."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections import Counter
from typing import Any

import pytest
from starlette.testclient import TestClient

from hearth import settings
from hearth.http.asgi import create_app
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


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/models/x", {"error_type": "too_many_requests"}),
        ("/v1/embeddings", {"error": {"code": "rate_limit_exceeded"}}),
        ("/v2/models/x/infer", {"error": "The server "}),
        ("/endpoints/x/invocations", {"message": "The server "}),
    ],
)
def test_a_refusal_has_the_error_format_of_its_protocol(
    monkeypatch: pytest.MonkeyPatch, path: str, expected: Any
) -> None:
    client = TestClient(create_app((), local=True))
    full = settings.read({"HEARTH_ALLOWED_HOSTS": "testserver"})._replace(max_queue=0)
    monkeypatch.setattr(settings, "get", lambda: full)
    response = client.post(path, json={})
    assert response.status_code == 429
    assert response.headers["retry-after"] == "1"
    assert response.headers["x-request-id"]
    body = response.json()
    for name, value in expected.items():
        if isinstance(value, dict):
            assert value.items() <= body[name].items()
        else:
            assert body[name].startswith(value)
