"""The routes of uploads: statuses and headers of each outcome."""

from __future__ import annotations

import json

import pytest

from hearth.async_inference import uploads as jobs
from hearth.errors import NotFound
from hearth.protocols import uploads
from hearth.protocols.base import Request

ID = f"u{'0' * 32}.m"
REQUEST = Request((), b'{"model": "m"}', path_params={"id": ID})


def test_a_created_upload_is_201_and_not_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = []
    ticket = jobs.UploadTicket(ID, "/u", "PUT", "key", "2026-01-01T00:00:00Z")
    monkeypatch.setattr(jobs, "create_upload", lambda body: (bodies.append(body), ticket)[1])
    response = uploads.create_upload(REQUEST)
    assert (response.status, response.headers) == (201, {"Cache-Control": "no-store"})
    assert isinstance(response.body, bytes)
    assert json.loads(response.body)["id"] == ID
    assert bodies == [REQUEST.body]


def test_a_result_is_200_and_a_pending_one_202(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "get_result", {ID: b'{"output": 1}'}.get)
    response = uploads.get_result(REQUEST)
    assert (response.status, response.body) == (200, b'{"output": 1}')
    monkeypatch.setattr(jobs, "get_result", lambda _: None)
    pending = uploads.get_result(REQUEST)
    assert (pending.status, pending.headers) == (202, {"Retry-After": "2"})
    assert isinstance(pending.body, bytes)
    assert json.loads(pending.body) == {"id": ID, "status": "waiting"}


def test_a_deleted_result_is_204(monkeypatch: pytest.MonkeyPatch) -> None:
    deleted: list[str] = []
    monkeypatch.setattr(jobs, "delete", deleted.append)
    response = uploads.delete_result(REQUEST)
    assert (response.status, response.body, deleted) == (204, b"", [ID])


def test_errors_are_those_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise NotFound("gone")

    monkeypatch.setattr(jobs, "get_result", missing)
    with pytest.raises(NotFound, match="gone"):
        uploads.get_result(REQUEST)


def test_the_routes_describe_every_status() -> None:
    statuses = {(route.method, route.path): set(route.responses) for route in uploads.ROUTES}
    assert statuses == {
        ("POST", "/uploads"): {201},
        ("GET", "/results/{id}"): {200, 202},
        ("DELETE", "/results/{id}"): {204},
    }
    assert not any(route.public for route in uploads.ROUTES)
