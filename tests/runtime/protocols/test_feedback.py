"""Feedback on answers: accuracy with an interval, by response, log line, metric and sketch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from hearth import settings
from hearth.http.asgi import create_app
from hearth.models.cache import warm_cache
from hearth.telemetry import sketches, statistics
from hearth_functions.text_classification import app
from tests.conftest import log_lines
from tests.support.requests import rest_event


@pytest.fixture
def client(serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("HEARTH_WATCH", (tmp_path / "watch").as_uri())
    settings.get.cache_clear()
    warm_cache.cache_clear()
    statistics.clear()
    sketches.clear()
    yield TestClient(create_app(app.TASKS, local=True))
    statistics.clear()
    sketches.clear()


def ask(client: TestClient, text: str) -> str:
    return client.post("/models/sentiment-en", json={"inputs": text}).headers["x-request-id"]


def give(client: TestClient, **feedback: Any) -> Any:
    return client.post("/models/sentiment-en/feedback", json=feedback)


def test_labels_become_an_accuracy_everywhere(client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    for text, label in (("good", "positive"), ("great", "positive"), ("awful", "positive")):
        response = give(client, request_id=ask(client, text), label=label)
        assert response.status_code == 200
    verdict = response.json()
    assert (verdict["right"], verdict["judged"], verdict["accuracy"]) == (False, 3, 0.6667)
    assert verdict["low"] < verdict["accuracy"] < verdict["high"]
    lines = [line for line in log_lines(capsys) if line["message"] == "feedback"]
    assert (lines[-1]["accuracy"], lines[-1]["version"], lines[-1]["low"]) == (0.6667, "1", verdict["low"])
    metrics = client.get("/metrics").text
    assert 'hearth_feedback_total{model="sentiment-en",version="1",verdict="right"} 2' in metrics
    assert 'hearth_feedback_accuracy{model="sentiment-en",version="1",bound="value"} 0.666' in metrics
    assert sketches.recent("sentiment-en", "1").counts["correct"] == [1, 2]


def test_an_answer_is_judged_once_and_one_of_another_process_by_its_prediction(client: TestClient) -> None:
    request_id = ask(client, "good")
    assert give(client, request_id=request_id, label="positive").status_code == 200
    again = give(client, request_id=request_id, label="positive")
    assert again.status_code == 404
    assert "`prediction`" in again.json()["error"]
    other = give(client, request_id="another-1", label="negative", prediction="positive")
    assert (other.status_code, other.json()["right"], other.json()["judged"]) == (200, False, 2)


def test_ratings_need_no_answer_in_memory(client: TestClient) -> None:
    response = give(client, request_id="r", rating=5)
    assert (response.status_code, response.json()["right"], response.json()["judged"]) == (200, None, 0)
    assert sketches.recent("sentiment-en", "1").counts["rating"] == [0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("feedback", "status", "message"),
    [
        ({"request_id": "r"}, 400, "`label`, or a `rating`"),
        ({"request_id": "r", "label": "nice", "prediction": "positive"}, 400, "negative, positive"),
        ({"request_id": "r", "rating": 9}, 400, "rating"),
        ({"request_id": "../x", "rating": 1}, 400, "request_id"),
        ({"label": "positive"}, 400, "request_id"),
        ({"request_id": "r", "label": "positive", "prediction": "nice"}, 400, "negative, positive"),
    ],
)
def test_wrong_feedback_is_explained(client: TestClient, feedback: dict[str, Any], status: int, message: str) -> None:
    response = give(client, **feedback)
    assert response.status_code == status
    assert message in response.json()["error"]


def test_a_prediction_that_was_not_answered_is_refused(client: TestClient) -> None:
    response = give(client, request_id=ask(client, "good"), label="negative", prediction="negative")
    assert response.status_code == 400


def test_a_lambda_takes_feedback_too(client: TestClient) -> None:
    event = rest_event("POST", "/models/sentiment-en", json.dumps({"inputs": "good"}))
    request_id = app.handler(event, None)["headers"]["x-request-id"]
    body = json.dumps({"request_id": request_id, "label": "positive"})
    response = app.handler(rest_event("POST", "/models/sentiment-en/feedback", body), None)
    assert json.loads(response["body"])["right"] is True


def test_labels_lie_beside_captured_inputs(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_CAPTURE", (tmp_path / "captured").as_uri())
    monkeypatch.setenv("HEARTH_CAPTURE_SHARE", "0")
    settings.get.cache_clear()
    request_id = ask(client, "good")
    give(client, request_id=request_id, label="negative")
    (path,) = (tmp_path / "captured").rglob("*.json")
    assert path.relative_to(tmp_path / "captured").as_posix() == f"sentiment-en/1/labels/{request_id}-0.json"
    assert json.loads(path.read_text())["label"] == "negative"
    assert (tmp_path / "captured").stat().st_mode & 0o077 == 0


def test_a_label_deletes_what_is_older(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "captured/sentiment-en/1/labels/old-0.json"
    old.parent.mkdir(parents=True)
    old.touch()
    os.utime(old, (0, 0))
    monkeypatch.setenv("HEARTH_CAPTURE", (tmp_path / "captured").as_uri())
    settings.get.cache_clear()
    give(client, request_id=ask(client, "good"), label="negative")
    assert not old.exists()
