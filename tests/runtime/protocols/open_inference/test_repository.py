"""The model repository: what is listed, loaded and unloaded."""

from __future__ import annotations

from starlette.testclient import TestClient

from hearth.models.cache import warm_cache
from hearth.models.registry import Ref
from tests.runtime.protocols.open_inference.calls import infer, texts


def state(client: TestClient, name: str) -> str:
    entries = client.post("/v2/repository/index", json={}).json()
    return str(next(entry["state"] for entry in entries if entry["name"] == name))


def test_the_repository_loads_and_unloads_models(client: TestClient) -> None:
    load, unload = (f"/v2/repository/models/sentiment-zh/{action}" for action in ("load", "unload"))
    assert client.post(load, json={}).status_code == 200
    assert Ref("sentiment-zh", "1") in warm_cache().loaded()
    assert state(client, "sentiment-zh") == "READY"
    assert client.post(unload, json={"parameters": {"unload_dependents": False}}).status_code == 200
    assert Ref("sentiment-zh", "1") not in warm_cache().loaded()
    assert state(client, "sentiment-zh") == "UNAVAILABLE"
    ready = [entry["name"] for entry in client.post("/v2/repository/index", json={"ready": True}).json()]
    assert "sentiment-zh" not in ready
    assert client.get("/v2/models/sentiment-zh/ready").status_code == 200  # the next request loads it
    assert infer(client, "sentiment-zh", texts("我非常喜欢"))
    for name in ("config", "file:1/model.onnx"):
        response = client.post(load, json={"parameters": {name: "{}"}})
        assert (response.status_code, set(response.json())) == (403, {"error"})
    assert client.post(load, json={"parameters": {"x": 1}}).status_code == 400
    assert client.post(unload, json={"parameters": {"x": 1}}).status_code == 400
    assert client.post("/v2/repository/index", json={"ready": "yes"}).status_code == 400
