"""Statistics count requests and items."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from hearth.protocols.open_inference import statistics as protocol_statistics
from tests.runtime.protocols.open_inference.calls import IDS, MASK, infer, texts
from tests.support.structs import mutable_structs


def test_statistics_count_executions(client: TestClient) -> None:
    def statistics_of_model() -> dict[str, Any]:
        return client.get("/v2/models/sentiment-en/stats").json()["model_stats"][0]  # type: ignore[no-any-return]

    before = statistics_of_model()
    infer(client, "sentiment-en", texts("a", "b", "c"))
    infer(client, "sentiment-en-raw", IDS, MASK)
    client.post("/models/sentiment-en", json={"inputs": "good"})
    assert client.post("/models/sentiment-en", json={"inputs": []}).status_code == 400
    after = statistics_of_model()
    assert after["execution_count"] - before["execution_count"] == 3
    assert after["inference_count"] - before["inference_count"] == 5
    counts = {name: sums["count"] for name, sums in after["inference_stats"].items()}
    assert counts["success"] == counts["queue"] == counts["compute_infer"] == after["execution_count"]
    assert after["inference_stats"]["fail"]["count"] - before["inference_stats"]["fail"]["count"] == 1
    assert after["inference_stats"]["success"]["ns"] > after["inference_stats"]["compute_infer"]["ns"] > 0
    all_statistics = client.get("/v2/models/stats")
    assert {entry["name"] for entry in all_statistics.json()["model_stats"]} == set(
        client.get("/v2/models").json()["models"]
    )
    assert "environment" in all_statistics.headers["x-hearth-statistics"]


def test_documents_are_not_changed() -> None:
    assert mutable_structs(protocol_statistics) == set()
