"""Bodies: JSON, JSON followed by binary data, or binary data only."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.functions.test_predict import picture
from tests.runtime.protocols.open_inference.calls import (
    IDS,
    LENGTH,
    MASK,
    TEXT,
    encode_request,
    infer,
    infer_binary,
    zeros,
)


def test_binary_tensors_are_read_and_written(client: TestClient) -> None:
    plain = infer(client, "sentiment-en-raw", IDS, MASK)["logits"]
    ids, mask = struct.pack("<3q", *IDS["data"]), struct.pack("<3q", 1, 1, 1)
    inputs = [
        {"name": name, "datatype": "INT64", "shape": [1, 3], "parameters": {"binary_data_size": 24}}
        for name in ("input_ids", "attention_mask")
    ]
    header, data, response = infer_binary(
        client, "sentiment-en-raw", {"inputs": inputs, "parameters": {"binary_data_output": True}}, ids, mask
    )
    assert response.headers["content-type"] == "application/octet-stream"
    (output,) = header["outputs"]
    assert output == {"name": "logits", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}
    assert data == struct.pack("<2f", *plain["data"])
    # Binary input and JSON output; then only one binary input.
    header, data, response = infer_binary(client, "sentiment-en-raw", {"inputs": inputs}, ids, mask)
    assert header["outputs"] == [plain]
    assert response.headers["content-type"] == "application/json"
    header, data, _ = infer_binary(client, "sentiment-en-raw", {"inputs": [IDS, inputs[1]]}, mask)
    assert header["outputs"] == [plain]


def test_bytes_elements_are_prefixed_with_their_length(client: TestClient) -> None:
    first_text, second_text = b"i love it", "ganz übel".encode()
    body = struct.pack("<I", len(first_text)) + first_text + struct.pack("<I", len(second_text)) + second_text
    tensor = {"name": "text", "datatype": "BYTES", "shape": [2, 1], "parameters": {"binary_data_size": len(body)}}
    outputs = [{"name": "scores"}, {"name": "response", "parameters": {"binary_data": True}}]
    header, data, _ = infer_binary(client, "sentiment-en", {"inputs": [tensor], "outputs": outputs}, body)
    scores, response = header["outputs"]
    assert len(scores["data"]) == 4
    assert "data" not in response
    (length,) = struct.unpack("<I", data[:4])
    first_response = json.loads(data[4 : 4 + length])
    assert first_response == client.post("/models/sentiment-en", json={"inputs": ["i love it", "ganz übel"]}).json()[0]
    assert response["parameters"]["binary_data_size"] == len(data)


def test_a_raw_body_is_the_only_input(client: TestClient) -> None:
    response = client.post("/v2/models/resnet20-cifar10/infer", content=picture(), headers={LENGTH: "0"})
    header = json.loads(response.content[: int(response.headers[LENGTH])])
    assert [output["shape"] for output in header["outputs"]] == [[1], [1, 10]]
    assert all(output["parameters"]["binary_data_size"] for output in header["outputs"])
    pixels = np.ones((1, 3, 32, 32), "<f4")
    response = client.post("/v2/models/resnet20-cifar10-raw/infer", content=pixels.tobytes(), headers={LENGTH: "0"})
    data = response.content[int(response.headers[LENGTH]) :]
    tensor = {"name": "pixels", "datatype": "FP32", "shape": [1, 3, 32, 32], "data": pixels.tolist()}
    assert np.frombuffer(data, "<f4").tolist() == infer(client, "resnet20-cifar10-raw", tensor)["logits"]["data"]
    frames = zeros("deepspeech-digits", batch=1, frames=7)["features"]  # the dynamic dimension follows from the length
    response = client.post("/v2/models/deepspeech-digits-raw/infer", content=frames.tobytes(), headers={LENGTH: "0"})
    assert response.status_code == 200
    for model, content in (("sentiment-en-raw", b"1234"), ("resnet20-cifar10-raw", b"1234")):
        response = client.post(f"/v2/models/{model}/infer", content=content, headers={LENGTH: "0"})
        assert response.status_code == 400


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_the_header_length_is_that_before_compression(client: TestClient, encoding: str, compress: Any) -> None:
    body = struct.pack("<I", 4) + b"good"
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(body)}}
    header = json.dumps({"inputs": [tensor]}).encode()
    headers = {LENGTH: str(len(header)), "content-encoding": encoding}
    response = client.post("/v2/models/sentiment-en/infer", content=compress(header + body), headers=headers)
    assert response.status_code == 200, response.text


def test_a_request_needs_no_content_type_and_an_index_no_body(client: TestClient) -> None:
    body = json.dumps({"inputs": [TEXT]}).encode()
    request = client.build_request("POST", "/v2/models/sentiment-en/infer", content=body)
    assert "content-type" not in request.headers
    assert client.send(request).status_code == 200
    assert client.post("/v2/repository/index").status_code == 200


@pytest.mark.parametrize(
    ("datatype", "shape", "size", "data", "message"),
    [
        ("BYTES", [1], 8, struct.pack("<I", 9) + b"good", "fewer follow"),
        ("BYTES", [1], 2, b"go", "four bytes"),
        ("BYTES", [2], 8, struct.pack("<I", 4) + b"good", "2 elements"),
        ("BYTES", [1], 8, struct.pack("<I", 4) + b"\xff\xfe\xff\xfe", "UTF-8"),
        ("BYTES", [1], 100, struct.pack("<I", 4) + b"good", "not that many"),
        ("BYTES", [1], -1, b"", "not that many"),
        ("BYTES", [1], True, b"a", "not that many"),
        ("BYTES", [1], 8, struct.pack("<I", 4) + b"goodmore", "4 bytes follow"),
        ("INT64", [1], 4, b"1234", "8 bytes; 4 were sent"),
        ("BOOL", [1], 1, b"\x02", "0 or 1"),
    ],
)
def test_invalid_bytes_are_a_bad_request_that_says_why(
    client: TestClient, datatype: str, shape: list[int], size: int, data: bytes, message: str
) -> None:
    tensor = {"name": "text", "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}
    body, length = encode_request({"inputs": [tensor]}, data)
    response = client.post("/v2/models/sentiment-en/infer", content=body, headers={LENGTH: str(length)})
    assert response.status_code == 400, response.text
    assert message in response.json()["error"]


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "999999", "9" * 40, "²"])
def test_an_invalid_header_length_is_refused(client: TestClient, length: str) -> None:
    body = json.dumps({"inputs": [TEXT]}).encode()
    response = client.post("/v2/models/sentiment-en/infer", content=body, headers={LENGTH: length.encode("latin-1")})
    assert response.status_code == 400
    assert LENGTH in response.json()["error"]
