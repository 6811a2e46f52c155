"""Metadata and readiness of the server and its models."""

from __future__ import annotations

import json

from starlette.testclient import TestClient

from hearth.protocols.open_inference import metadata
from hearth_build import ZOO
from tests.support.structs import mutable_structs


def test_health_and_metadata_are_reported(client: TestClient) -> None:
    assert (
        client.get("/v2/health/live").json() == client.get("/v2/health/ready").json() == {"live": True, "ready": True}
    )
    server = client.get("/v2")
    assert server.json()["name"] == "hearth"
    assert {"binary_tensor_data", "classification", "model_repository", "statistics"} <= set(
        server.json()["extensions"]
    )
    slashed = client.get("/v2/", follow_redirects=False)
    assert (slashed.status_code, slashed.content) == (200, server.content)
    assert "sentiment-en" in client.get("/v2/models").json()["models"]
    model = client.get("/v2/models/sentiment-en").json()
    assert model["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert model["outputs"][1] == {"name": "scores", "datatype": "FP32", "shape": [-1, 2]}
    manifest = json.loads((ZOO / "sentiment-en/1/manifest.json").read_text())
    properties = model["properties"]
    assert all(isinstance(value, str) for value in properties.values())
    assert properties["task"] == "text-classification"
    assert properties["licence"] == manifest["licence"]
    assert properties["quantization"] == "dynamic-int8"
    assert json.loads(properties["labels"]) == ["negative", "positive"]
    assert json.loads(properties["files"]) == {file["path"]: file["sha256"] for file in manifest["files"]}
    raw = client.get("/v2/models/sentiment-en-raw@prod/versions/prod").json()
    assert raw["platform"] == "onnx_onnxv1"
    assert raw["inputs"][0] == {"name": "input_ids", "datatype": "INT64", "shape": [-1, -1]}
    assert client.get("/v2/models/sentiment-en/ready").json() == {"name": "sentiment-en", "ready": True}
    config = client.get("/v2/models/sentiment-en-raw/versions/1/config").json()
    assert config["input"][1] == {"name": "attention_mask", "data_type": "TYPE_INT64", "dims": [-1, -1]}
    assert client.get("/v2/models/yolo-cells?task=object-tracking").json()["inputs"][0]["name"] == "video"


def test_documents_are_not_changed() -> None:
    assert mutable_structs(metadata) == set()
