"""Requests without a web framework: routes, CORS, unknown paths, and the model that a cold start loads."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hearth import settings
from hearth.auth import api_keys
from hearth.aws_lambda import http_event
from hearth.aws_lambda.http_adapter import HttpAdapter
from hearth.http.pipeline import HttpResponse
from hearth.models import preload
from hearth_functions.text_classification import app as text
from tests.support.requests import rest_event

CONTEXT = SimpleNamespace(aws_request_id="request-1")
BODY = '{"inputs": "good"}'


@pytest.fixture(autouse=True)
def no_caller() -> Iterator[None]:
    token = api_keys._caller.set(None)
    yield
    api_keys._caller.reset(token)


def respond(event: dict[str, Any], adapter: HttpAdapter | None = None, context: Any = CONTEXT) -> HttpResponse:
    return (adapter or HttpAdapter(text.TASKS, None)).respond(http_event.read(event), event, context)


def test_a_route_answers_with_lambdas_request_id(serving: Path) -> None:
    response = respond(rest_event("POST", "/models/sentiment-en", BODY))
    assert response.status == 200
    assert isinstance(response.body, bytes)
    assert json.loads(response.body)[0][0]["label"] == "positive"
    assert response.headers["x-request-id"] == "request-1"
    assert len(respond(rest_event("GET", "/models"), context=None).headers["x-request-id"]) == 32


def test_an_unknown_path_has_its_protocols_error(serving: Path) -> None:
    for path, field in (("/nowhere", "error_type"), ("/v1/nowhere", "error"), ("/endpoints/x", "__type")):
        response = respond(rest_event("GET", path))
        assert response.status == 404
        assert isinstance(response.body, bytes)
        assert field in json.loads(response.body)


def test_only_unknown_paths_need_the_framework(serving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mangum", "hearth.http.asgi"):
        monkeypatch.setitem(sys.modules, name, None)
    assert respond(rest_event("POST", "/models/sentiment-en", BODY)).status == 200
    with pytest.raises(ImportError):
        respond(rest_event("GET", "/nowhere"))


def test_pages_are_served_from_their_folder(serving: Path) -> None:
    from tests.support import ROOT

    adapter = HttpAdapter((), ROOT / "functions/catalog/page")
    assert respond(rest_event("GET", "/"), adapter).headers["content-type"].startswith("text/html")
    assert respond(rest_event("GET", "/")).status == 404


def test_cors_headers_are_added_where_they_are_configured(serving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = {"content-type": "application/json", "origin": "https://page.example"}
    preflight = page | {"access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in respond(rest_event("POST", "/models/sentiment-en", BODY, page)).headers
    assert respond(rest_event("OPTIONS", "/models/sentiment-en", "", preflight)).status == 403
    monkeypatch.setenv("HEARTH_CORS_ORIGINS", "https://page.example")
    settings.get.cache_clear()
    response = respond(rest_event("POST", "/models/sentiment-en", BODY, page))
    assert (response.status, response.headers["access-control-allow-origin"]) == (200, "https://page.example")
    answer = respond(rest_event("OPTIONS", "/models/sentiment-en", "", preflight))
    assert (answer.status, answer.body) == (204, b"")
    assert "POST" in answer.headers["access-control-allow-methods"]
    foreign = respond(rest_event("OPTIONS", "/x", "", preflight | {"origin": "https://other.example"}))
    assert "access-control-allow-origin" not in foreign.headers


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/models/sentiment-en", ["sentiment-en"]),
        ("POST", "/models/sentiment-en@1", ["sentiment-en@1"]),
        ("GET", "/models/sentiment-en", []),
        ("GET", "/nowhere", []),
    ],
)
def test_the_first_request_loads_its_model_meanwhile(
    serving: Path, monkeypatch: pytest.MonkeyPatch, method: str, path: str, expected: list[str]
) -> None:
    loads: list[str] = []
    monkeypatch.setattr(preload, "start_load", lambda name, session: loads.append(name) or threading.Thread())
    adapter = HttpAdapter(text.TASKS, None)
    for _ in range(2):
        respond(rest_event(method, path, BODY if method == "POST" else ""), adapter)
    assert loads == expected


def test_a_model_that_the_caller_may_not_use_is_not_loaded(serving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    loads: list[str] = []
    monkeypatch.setattr(preload, "start_load", lambda name, session: loads.append(name))
    entry = {"name": "a", "sha256": hashlib.sha256(b"key").hexdigest(), "models": ["resnet*"]}
    monkeypatch.setenv("HEARTH_API_KEYS", json.dumps([entry]))
    settings.get.cache_clear()
    for headers, status in (({"x-api-key": "key"}, 403), ({"x-api-key": "wrong"}, 401), ({}, 401)):
        event = rest_event("POST", "/models/sentiment-en", BODY, headers)
        assert respond(event).status == status
    assert loads == []
