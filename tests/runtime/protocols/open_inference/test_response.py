"""Outputs: as JSON or binary, compressed, or as classes."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from hearth.errors import BadRequest
from hearth.protocols.open_inference.request import RequestedOutput
from hearth.protocols.open_inference.response import AvailableOutput, _classes
from hearth.protocols.open_inference.tensors import bytes_array
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


def classes(array: Any, count: int, labels: tuple[str, ...] = ()) -> Any:
    output = AvailableOutput("FP32", lambda: array, labels)
    return _classes(RequestedOutput("scores", False, count), output, array)


def test_classes_are_the_likeliest_of_each_row() -> None:
    scores = np.array([[0.25, 0.5, 0.125], [1, 0, 0.5]], np.float32)
    named = classes(scores, 2, ("a", "b", "c"))
    assert named.tolist() == [[b"0.500000:1:b", b"0.250000:0:a"], [b"1.000000:0:a", b"0.500000:2:c"]]
    assert classes(scores, 1, ("a", "b")).tolist() == [[b"0.500000:1"], [b"1.000000:0"]]
    assert classes(scores, 9).shape == (2, 3)
    assert classes(scores[0], 2).tolist() == [b"0.500000:1", b"0.250000:0"]
    assert classes(scores.reshape(1, 2, 3), 1).tolist() == [[b"1.000000:3"]]
    assert classes(np.array([3, 7]), 1).tolist() == [b"7.000000:1"]
    for other in (bytes_array([b"x"]), np.array(True), np.float32(1)):
        with pytest.raises(BadRequest, match="'scores' has no numbers for a classification"):
            classes(np.asarray(other), 1)
