"""Statistics count requests and items."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from hearth.protocols.open_inference import statistics as protocol_statistics
from hearth.telemetry import statistics
from hearth.telemetry.statistics import Duration
from hearth.telemetry.timing import Timing
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


def test_times_are_nanoseconds() -> None:
    duration = protocol_statistics._duration(Duration(count=2, ms=1.5))
    assert (duration.count, duration.ns) == (2, 1_500_000)


def test_a_version_has_its_record_and_no_queue() -> None:
    statistics.clear()
    timing = Timing()
    timing.fields.update(model="m", version="1", items=3)
    timing.steps.update(encode=1.0, run=2.0, decode=3.0)
    statistics.count(timing, failed=False)
    statistics.count(timing, failed=True)
    entry = protocol_statistics._statistics("m", "1")
    assert (entry.name, entry.version, entry.inference_count, entry.execution_count) == ("m", "1", 3, 1)
    assert entry.last_inference > 0
    sums = entry.inference_stats
    counts = [sums.success.count, sums.fail.count, sums.queue.count, sums.queue.ns, sums.cache_hit.count]
    assert counts == [1, 1, 1, 0, 0]
    assert [sums.compute_input.ns, sums.compute_infer.ns, sums.compute_output.ns] == [1_000_000, 2_000_000, 3_000_000]
    assert sums.cache_miss.ns == sums.cache_hit.ns == 0
