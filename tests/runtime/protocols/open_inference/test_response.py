"""Outputs: as JSON or binary, compressed, or as classes."""

from __future__ import annotations

import json
import struct
import zlib

import pytest
from starlette.testclient import TestClient

from tests.runtime.protocols.open_inference.calls import IDS, LENGTH, MASK, TEXT, infer, infer_binary, texts


def test_binary_data_of_an_output_overrides_the_request(client: TestClient) -> None:
    outputs = [{"name": "response", "parameters": {"binary_data": False}}, {"name": "scores"}]
    request = {"inputs": [TEXT], "outputs": outputs, "parameters": {"binary_data_output": True}}
    response = client.post("/v2/models/sentiment-en/infer", json=request)
    header = json.loads(response.content[: int(response.headers[LENGTH])])
    assert ["data" in output for output in header["outputs"]] == [True, False]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_responses_are_compressed_on_request(client: TestClient, encoding: str) -> None:
    request = {"inputs": [texts("a sentence", "another")], "parameters": {"binary_data_output": True}}
    plain = client.post("/v2/models/embeddings-en/infer", json=request | {"id": "x"})
    with client.stream(
        "POST", "/v2/models/embeddings-en/infer", json=request | {"id": "x"}, headers={"accept-encoding": encoding}
    ) as response:
        compressed = b"".join(response.iter_raw())
    assert response.headers["content-encoding"] == encoding
    assert response.headers[LENGTH] == plain.headers[LENGTH]
    assert zlib.decompress(compressed, 31 if encoding == "gzip" else 15) == plain.content
    assert "content-encoding" not in plain.headers
    uncompressed = client.post("/v2/models/embeddings-en/infer", json=request, headers={"accept-encoding": "gzip;q=0"})
    assert "content-encoding" not in uncompressed.headers


def test_the_classification_extension_returns_the_best_labels(client: TestClient) -> None:
    outputs = [{"name": "scores", "parameters": {"classification": 2}}]
    (output,) = infer(client, "sentiment-en", texts("i love it", "awful"), outputs=outputs).values()
    assert (output["datatype"], output["shape"]) == ("BYTES", [2, 2])
    value, index, label = output["data"][0].split(":")
    assert (float(value) > 0.5, index, label) == (True, "1", "positive")
    outputs = [{"name": "logits", "parameters": {"classification": 99, "binary_data": True}}]
    ids = {**IDS, "parameters": {"binary_data_size": 24}}
    del ids["data"]
    header, data, _ = infer_binary(
        client, "sentiment-en-raw", {"inputs": [ids, MASK], "outputs": outputs}, struct.pack("<3q", *IDS["data"])
    )
    assert header["outputs"][0]["shape"] == [1, 2]
    (length,) = struct.unpack("<I", data[:4])
    assert data[4 : 4 + length].endswith((b":0:negative", b":1:positive"))
