"""Uploads of the local server: a form is used once, files expire, and their size has a limit."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from hearth import settings
from hearth.auth import api_keys
from hearth.errors import TooManyRequests
from hearth.models.cache import warm_cache
from hearth_build.cli import serve, serve_uploads

TEXT = b"good"
TICKET = {"model": "sentiment-en", "content_type": "text/plain", "size": 100}


@pytest.fixture
def folders(serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The parent of the folders of uploads and results."""
    monkeypatch.setenv("HEARTH_UPLOADS", (tmp_path / "uploads").as_uri())
    monkeypatch.setenv("HEARTH_OUTPUT", (tmp_path / "results").as_uri())
    settings.get.cache_clear()
    return tmp_path


@pytest.fixture
def client(folders: Path) -> Iterator[TestClient]:
    with TestClient(serve.app()) as client:
        yield client
    for cached in (settings.get, warm_cache):
        cached.cache_clear()


def create(client: TestClient, **fields: Any) -> dict[str, Any]:
    response = client.post("/uploads", json=TICKET | fields)
    assert response.status_code == 201, response.text
    return dict(response.json())


def send(client: TestClient, ticket: dict[str, Any], body: bytes = TEXT) -> int:
    return client.post(ticket["url"], data=ticket["fields"], files={"file": body}).status_code


def wait_for_result(client: TestClient, ticket: dict[str, Any]) -> dict[str, Any]:
    for _ in range(500):
        response = client.get(f"/results/{ticket['id']}")
        if response.status_code == 200:
            return dict(response.json())
        time.sleep(0.02)
    raise AssertionError(response.text)


def test_a_form_is_used_once(client: TestClient) -> None:
    ticket = create(client)
    assert send(client, ticket) == 204
    assert [send(client, ticket, b"bad") for _ in range(5)] == [403] * 5
    assert wait_for_result(client, ticket)["output"][0][0]["label"] == "positive"


def test_an_upload_that_failed_can_be_sent_again(client: TestClient) -> None:
    ticket = create(client)
    assert send(client, ticket, bytes(101)) == 413
    assert send(client, ticket, b"") == 400
    assert send(client, ticket | {"fields": ticket["fields"] | {"Content-Type": "image/png"}}) == 403
    assert client.post(ticket["url"], content=TEXT, headers={"content-type": "text/plain"}).status_code == 415
    assert send(client, ticket) == 204


def test_uploads_count_against_the_rate_of_the_key(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "a-key"
    digest = hashlib.sha256(key.encode()).hexdigest()
    entry = {"name": "acme", "sha256": digest, "models": ["*"], "rate": 0.01, "burst": 3}
    monkeypatch.setenv("HEARTH_API_KEYS", json.dumps([entry]))
    settings.get.cache_clear()
    api_keys._read_table.cache_clear()
    with TestClient(serve.app(), headers={"x-api-key": key}) as client:
        statuses = [client.post("/uploads", json=TICKET).status_code for _ in range(5)]
    assert statuses == [201, 201, 201, 429, 429]
    monkeypatch.undo()
    settings.get.cache_clear()
    api_keys._read_table.cache_clear()


def test_the_size_of_all_files_is_limited_and_deleting_makes_room(
    client: TestClient, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEARTH_UPLOADS_MB", "1")
    settings.get.cache_clear()
    with TestClient(serve.app()) as client:
        first = create(client, size=600_000)
        assert send(client, first, b"good " * 100_000) == 204
        second = create(client, size=600_000)
        refused = client.post(second["url"], data=second["fields"], files={"file": TEXT})
        assert refused.status_code == 429
        assert "DELETE /results" in refused.json()["error"]
        assert client.delete(f"/results/{first['id']}").status_code == 204
        assert send(client, second) == 204


def test_an_upload_that_does_not_arrive_takes_no_room_of_others(folders: Path) -> None:
    folder = serve_uploads.UploadFolder(folders / "uploads", None, 1_000_000)
    with ExitStack() as stack:
        slow = [stack.enter_context(folder.accept(f"slow {number}", math.inf, 900_000)) for number in range(20)]
        with folder.accept("fast", math.inf, 600_000) as add:
            add(600_000)
        for add in slow[:3]:
            add(100_000)
        with pytest.raises(TooManyRequests):
            slow[3](100_000)


def test_small_files_take_room_too(folders: Path) -> None:
    folder = serve_uploads.UploadFolder(folders / "uploads", None, 20 * serve_uploads.BLOCK)
    for number in range(19):
        with folder.accept(f"{number}", math.inf, 1) as add:
            add(1)
    with pytest.raises(TooManyRequests), folder.accept("one more", math.inf, serve_uploads.BLOCK):
        pass


def test_files_are_counted_beside_the_event_loop(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, release = serve_uploads.UploadFolder(folders / "uploads", None, 10**10), threading.Event()
    counts: list[int] = []

    def count(self: Any, now: float) -> int:
        release.wait(30)
        counts.append(5000)
        return counts[-1]

    monkeypatch.setattr(serve_uploads.UploadFolder, "_count", count)

    async def scenario() -> None:
        counting = [asyncio.create_task(folder.count()) for _ in range(5)]
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in counting)
        release.set()
        await asyncio.gather(*counting)
        await folder.count()

    asyncio.run(scenario())
    assert counts == [5000]


def test_a_file_that_is_renamed_meanwhile_fails_no_upload(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    rglob = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda folder, pattern: [*rglob(folder, pattern), folder / ".partial"])
    assert send(client, create(client)) == 204


def test_old_files_are_deleted(client: TestClient, folders: Path) -> None:
    old = folders / "uploads/uploads/sentiment-en/u0"
    old.parent.mkdir(parents=True)
    old.write_bytes(TEXT)
    past = time.time() - serve_uploads.KEEP_SECONDS - 60
    os.utime(old, (past, past))
    assert send(client, create(client)) == 204
    assert not old.exists()
