"""GET /metrics, read by Prometheus' own parser."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from hearth.http.asgi import create_app
from hearth.telemetry import statistics
from hearth_functions.text_classification import app
from tests.support.api_keys import key_header


@pytest.fixture
def client(serving: Path) -> TestClient:
    statistics.clear()
    return TestClient(create_app(app.TASKS, local=True))


def metrics(
    client: TestClient, headers: dict[str, str] | None = None
) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    response = client.get("/metrics", headers=headers)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(response.text)
    return {
        sample.name: {tuple(sorted(s.labels.items())): s.value for s in family.samples if s.name == sample.name}
        for family in families
        for sample in family.samples
    }


def test_requests_durations_items_and_tokens_are_counted(client: TestClient) -> None:
    client.post("/models/sentiment-en", json={"inputs": ["a good film", "bad"]})
    client.post("/models/sentiment-en", json={"inputs": []})
    samples = metrics(client)
    model = (("model", "sentiment-en"), ("version", "1"))
    outcomes = {dict(labels)["outcome"]: value for labels, value in samples["hearth_requests_total"].items()}
    assert outcomes == {"success": 1, "fail": 1}
    assert samples["hearth_items_total"][model] == 2
    tokens = {dict(labels)["direction"]: value for labels, value in samples["hearth_tokens_total"].items()}
    assert tokens == {"input": 8, "output": 0}
    buckets = {dict(labels)["le"]: value for labels, value in samples["hearth_request_duration_seconds_bucket"].items()}
    assert buckets["+Inf"] == samples["hearth_request_duration_seconds_count"][model] == 2
    assert [*buckets.values()] == sorted(buckets.values())
    assert samples["hearth_request_duration_seconds_sum"][model] > 0
    assert samples["hearth_models_loaded"][()] == 1
    assert {dict(labels)["step"] for labels in samples["hearth_step_duration_seconds_total"]} == {
        "encode",
        "run",
        "decode",
    }


def test_a_tenant_sees_only_its_own_requests(locked: Path) -> None:
    statistics.clear()
    client = TestClient(create_app(app.TASKS, local=True))
    first, second = "words", "all"
    assert client.post("/models/sentiment-en", json={"inputs": "good"}, headers=key_header(first)).status_code == 200
    assert "hearth_items_total" in metrics(client, key_header(first))
    assert "hearth_items_total" not in metrics(client, key_header(second))
    assert client.get("/metrics").status_code == 401
