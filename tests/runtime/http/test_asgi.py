"""The local server's app, called by an HTTP client."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from hearth import settings
from hearth.http.concurrency_limit import ConcurrencyLimit
from hearth.models.model import Model
from hearth.telemetry import log
from hearth_build.cli import serve
from tests.conftest import log_lines
from tests.support.pictures import picture

TEXT = {"inputs": "i love this movie"}


@pytest.fixture
def client(serving: Path) -> Iterator[TestClient]:
    with TestClient(serve.app()) as client:
        yield client


def test_text_is_classified_by_name_version_and_task(client: TestClient) -> None:
    for path in ("/models/sentiment-en", "/models/sentiment-en@1", "/pipeline/text-classification/sentiment-en@prod"):
        response = client.post(path, json=TEXT)
        assert response.status_code == 200, response.text
        assert response.json()[0][0]["label"] == "positive"
    assert "run;dur=" in response.headers["server-timing"]
    assert response.headers["x-request-id"]


@pytest.mark.parametrize("content_type", [None, "image/png", "application/json", "text/plain"])
def test_raw_pictures_are_accepted_with_any_content_type(client: TestClient, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    response = client.post("/models/resnet20-cifar10?top_k=1", content=picture(), headers=headers)
    assert [score["label"] for score in response.json()] == ["red"]


def test_pictures_in_json_are_accepted(client: TestClient) -> None:
    body = {"inputs": base64.b64encode(picture()).decode(), "parameters": {"top_k": 2}}
    assert len(client.post("/models/resnet20-cifar10", json=body).json()) == 2
    batch = {"inputs": [base64.b64encode(picture()).decode()] * 3, "parameters": {"top_k": 1}}
    output = client.post("/models/resnet20-cifar10", json=batch).json()
    assert [[score["label"] for score in scores] for scores in output] == [["red"]] * 3


def test_the_catalogue_lists_the_models(client: TestClient) -> None:
    models = client.get("/models").json()["models"]
    assert [(model["name"], model["task"], model["version"]) for model in models] == [
        ("resnet20-cifar10", "image-classification", "1"),
        ("sentiment-en", "text-classification", "1"),
    ]
    assert client.get("/models/sentiment-en").json()["labels"] == ["negative", "positive"]
    assert client.get("/v2/health/live").json() == {"live": True, "ready": True}
    assert client.get("/v2/health/ready").status_code == 200


def test_the_examples_of_the_documentation_work(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    for name in ("sentiment-en", "resnet20-cifar10"):
        content = document["paths"][f"/models/{name}"]["post"]["requestBody"]["content"]
        assert client.post(f"/models/{name}", json=content["application/json"]["example"]).status_code == 200


@pytest.mark.filterwarnings("ignore:open_binary is deprecated")  # fastapi-swagger's, on Python 3.11
def test_the_documentation_page_needs_no_network(client: TestClient) -> None:
    page = client.get("/docs").text
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert addresses
    for address in addresses:
        assert address.startswith("http://testserver/")
        assert client.get(address).status_code == 200
    assert client.get("/").headers["content-type"].startswith("text/html")


INVALID = [
    ("/models/sentiment-en", b"", 400, "empty"),
    ("/models/sentiment-en", b"{", 400, "valid JSON"),
    ("/models/sentiment-en", b"\xff{}", 400, "UTF-8"),
    ("/models/sentiment-en", b"[1]", 400, "object"),
    ("/models/sentiment-en", b'{"inputs": 5}', 400, "inputs"),
    ("/models/sentiment-en", b'{"inputs": NaN}', 400, "NaN"),
    ("/models/sentiment-en", b'{"inputs": 1e999}', 400, "too large"),
    ("/models/sentiment-en", b'{"inputs": "a", "inputs": "b"}', 400, "twice"),
    ("/models/sentiment-en", b'{"inputs": "\\ud800"}', 400, "surrogate"),
    ("/models/sentiment-en", b'{"inputs": "a", "parameters": {"colour": 1}}', 400, "colour"),
    ("/models/sentiment-en", b'{"inputs": "a", "parameters": {"top_k": 0}}', 400, "top_k"),
    ("/models/sentiment-en", b'{"inputs": "a", "parameters": {"function_to_apply": "relu"}}', 400, "function"),
    ("/models/sentiment-en", b'{"inputs": []}', 400, "empty list"),
    ("/models/sentiment-en", b"[" * 100_000, 400, "deep"),
    ("/models/sentiment-en", b'{"inputs": ' + b"9" * 5000 + b"}", 400, "valid JSON"),
    ("/models/sentiment-en", json.dumps({"inputs": "a" * 10_001}).encode(), 413, "characters"),
    ("/models/sentiment-en", b" " * 5_000_000, 413, "longer than"),
    ("/models/sentiment-en?top_k=1", b'{"inputs": "a"}', 400, "query"),
    ("/models/none", b'{"inputs": "a"}', 404, "no model"),
    ("/models/sentiment-en@9", b'{"inputs": "a"}', 404, "version 9"),
    ("/models/UP", b'{"inputs": "a"}', 400, "name@version"),
    ("/pipeline/mind-reading/sentiment-en", b'{"inputs": "a"}', 404, "not served"),
    ("/models/resnet20-cifar10", b"not a picture", 415, "JPEG"),
    ("/models/resnet20-cifar10", picture()[:60], 400, "damaged"),
    ("/models/resnet20-cifar10", b'{"inputs": "%%%"}', 400, "inputs"),
    ("/models/resnet20-cifar10?top_k=many", picture(), 400, "top_k"),
    ("/nowhere", b"", 404, "nowhere"),
    ("/models", b"", 405, "Method Not Allowed"),
]


@pytest.mark.parametrize(("path", "body", "status", "message"), INVALID)
def test_a_bad_request_has_a_clear_error(client: TestClient, path: str, body: bytes, status: int, message: str) -> None:
    response = client.post(path, content=body)
    assert response.status_code == status, response.text
    document = response.json()
    assert set(document) == {"error", "error_type", "request_id"}
    assert message in document["error"]


def test_a_task_that_is_not_the_models_is_404(client: TestClient) -> None:
    response = client.post("/pipeline/image-classification/sentiment-en", content=picture())
    assert response.status_code == 404


def test_a_request_has_one_log_line_with_milliseconds_and_no_payload(
    client: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    client.post("/models/sentiment-en", json={"inputs": "good canary-7f3a"})
    lines = log_lines(capsys)
    assert len(lines) == 1
    assert set(lines[0]) == {
        *("level", "location", "message", "timestamp", "service", "request_id", "status", "trigger"),
        *("cold", "model", "version", "items", "input_tokens", "ms"),
    }
    assert (lines[0]["level"], lines[0]["message"], lines[0]["service"]) == ("INFO", "request", "hearth")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}[+-]\d{4}", lines[0]["timestamp"])
    assert lines[0]["model"] == "sentiment-en"
    assert {"resolve", "encode", "run", "decode", "total"} <= set(lines[0]["ms"])
    assert "canary" not in json.dumps(lines)


def test_the_log_level_hides_lines_but_not_metrics(
    client: TestClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_function", lambda: "texts")
    client.post("/models/sentiment-en", json={"inputs": "good"})
    line, metrics = log_lines(capsys)
    level = log.logger().level
    log.logger().setLevel("ERROR")
    try:
        client.post("/models/sentiment-en", json={"inputs": "good"})
    finally:
        log.logger().setLevel(level)
    (only_metrics,) = log_lines(capsys)
    for record, cold in ((metrics, 1.0), (only_metrics, 0.0)):
        assert {name: record[name] for name in ("model", "service", "function", "Requests", "ColdStart", "Errors")} == {
            "model": "sentiment-en",
            "service": "hearth",
            "function": "texts",
            "Requests": [1.0],
            "ColdStart": [cold],
            "Errors": [0.0],
        }
    assert metrics["Duration"] == [line["ms"]["total"]]


def test_an_unexpected_error_is_a_500_without_details(
    client: TestClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("canary-7f3a")

    monkeypatch.setattr(Model, "run", fail)
    response = client.post("/models/sentiment-en", json={"inputs": "good"})
    assert (response.status_code, response.json()["error_type"]) == (500, "internal")
    lines = log_lines(capsys)
    assert lines[0]["exception_name"] == "ValueError"
    assert "fail" in lines[0]["places"][-1]
    assert "canary" not in json.dumps(lines) + response.text


@pytest.mark.parametrize(
    ("method", "path", "body", "slots"),
    [
        ("POST", "/models/sentiment-en", b'{"inputs": "good"}', 1),
        ("POST", "/models/sentiment-en", b"{", 1),
        ("POST", "/models/none", b"{}", 1),
        ("GET", "/models", b"", 0),
        ("GET", "/models/none", b"", 0),
        ("GET", "/v2/health/live", b"", 0),
        ("POST", "/models/sentiment-en", b" " * 5_000_000, 0),
    ],
)
def test_work_takes_a_slot_and_gives_it_back(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: bytes, slots: int
) -> None:
    calls: list[str] = []
    for name in ("take_slot", "release_slot"):
        monkeypatch.setattr(ConcurrencyLimit, name, lambda _, name=name: calls.append(name))
    client.request(method, path, content=body)
    assert calls == ["take_slot", "release_slot"] * slots


@pytest.mark.filterwarnings("ignore:open_binary is deprecated")  # fastapi-swagger's, on Python 3.11
def test_the_local_server_answers_below_a_base_path(serving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_BASE_PATH", "/ai")
    settings.get.cache_clear()
    with TestClient(serve.app()) as client:
        for path in ("/ai/models/sentiment-en", "/models/sentiment-en", "/ai/models/sentiment-en/"):
            assert client.post(path, json=TEXT).status_code == 200, path
        assert client.get("/ai/").headers["content-type"].startswith("text/html")
        assert "error" in client.get("/ai/v1/models/none").json()["error"]["type"], "the protocol's own form"
        assert client.get("/aim/models").status_code == 404
        assert client.get("/ai/openapi.json").json()["servers"] == [{"url": "/ai"}]
        addresses = re.findall(r'(?:src|href)="([^"]+)"', client.get("/ai/docs").text)
        assert addresses
        for address in addresses:
            assert "/ai/" in address
            assert client.get(address).status_code == 200
