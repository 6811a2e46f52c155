"""GET /v1/models and /v1/models/{name}."""

from __future__ import annotations

from starlette.testclient import TestClient

from hearth.models.cache import warm_cache


def test_models_are_listed_and_retrieved(client: TestClient) -> None:
    listed = client.get("/v1/models").json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == warm_cache().registry.models()
    manifest = warm_cache().resolve("sentiment-en").manifest
    (model,) = (model for model in listed["data"] if model["id"] == "sentiment-en")
    assert model == {
        "id": "sentiment-en",
        "object": "model",
        "created": 0,
        "owned_by": "hearth",
        "task": "text-classification",
        "version": manifest.version,
        "description": manifest.description,
    }
    assert client.get("/v1/models/sentiment-en").json() == model
    assert client.get(f"/v1/models/sentiment-en@{manifest.version}").json()["id"].startswith("sentiment-en@")


def test_an_unknown_model_is_named_as_the_field(client: TestClient) -> None:
    response = client.get("/v1/models/none")
    assert response.status_code == 404
    error = response.json()["error"]
    assert (error["code"], error["param"], error["type"]) == ("model_not_found", "model", "invalid_request_error")
    assert client.get("/v1/models/UP").json()["error"]["param"] == "model"
