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

from hearth.errors import BadRequest
from hearth.protocols.open_inference import request as request_module
from hearth.protocols.open_inference.request import (
    InputTensor,
    ParsedRequest,
    RequestedOutput,
    SplitBody,
    parse,
    split_body,
    to_feed,
)
from hearth.protocols.open_inference.schema import TensorMetadata
from hearth.protocols.open_inference.tensors import bytes_array
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
from tests.support.pictures import picture
from tests.support.structs import mutable_structs


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


INPUTS = (TensorMetadata("text", "BYTES", (-1,)),)


def parsed(tensor: dict[str, Any], **fields: Any) -> ParsedRequest:
    document = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["YQ=="], **tensor}], **fields}
    return parse(split_body(json.dumps(document).encode(), {}), INPUTS, ["response", "scores"])


@pytest.mark.parametrize(
    ("content_type", "content"), [("", b"YQ=="), ("str", b"YQ=="), ("np", b"YQ=="), ("base64", b"a")]
)
def test_a_content_type_is_of_the_tensor_or_of_the_request(content_type: str, content: bytes) -> None:
    parameters = {"content_type": content_type} if content_type else {}
    for request in (parsed({"parameters": parameters}), parsed({}, parameters=parameters)):
        tensor = request.tensors["text"]
        assert (tensor.array.tolist(), tensor.content_type, tensor.binary) == ([content], content_type, False)
        assert request.parameters == {}
    assert parsed({"parameters": {"content_type": "str"}}, parameters=parameters).tensors["text"].content_type == "str"


def test_outputs_are_all_or_those_requested() -> None:
    assert parsed({}).outputs == (RequestedOutput("response", False), RequestedOutput("scores", False))
    binary = parsed({}, parameters={"binary_data_output": True, "top_k": 1, "priority": 1, "timeout": 2})
    assert binary.outputs == (RequestedOutput("response", True), RequestedOutput("scores", True))
    assert binary.parameters == {"top_k": 1}
    wanted = [{"name": "scores", "parameters": {"binary_data": True, "classification": 2}}]
    assert parsed({}, outputs=wanted).outputs == (RequestedOutput("scores", True, 2),)
    plain = parsed({}, outputs=[{"name": "scores"}], parameters={"binary_data_output": True})
    assert plain.outputs == (RequestedOutput("scores", True),)
    assert parsed({}, id="i").id == "i"


@pytest.mark.parametrize(
    ("tensor", "fields", "message"),
    [
        ({"shape": [2**24, 2**24]}, {}, "is too large"),
        ({"shape": [2**24, 2**23], "data": []}, {}, "has 140737488355328 elements, `data` 0"),
        ({"shape": [0, 2**24, 2**24], "data": []}, {}, "is too large"),
        ({"parameters": {"content_type": "pd"}}, {}, "`content_type` must be one of str, base64, np"),
        ({"data": ["%"], "parameters": {"content_type": "base64"}}, {}, "base64"),
        ({"parameters": {"binary_data_size": 1}}, {}, "either `data`, a list, or `binary_data_size`"),
        ({"data": None}, {}, "either `data`, a list, or `binary_data_size`"),
        ({"parameters": {"x": 1}}, {}, "the parameter `x` is not supported here"),
        ({}, {"parameters": {"sequence_id": 1}}, "`sequence_id` is one of Triton's"),
        ({}, {"parameters": {"headers": 1}}, "`headers` is one of Triton's"),
        ({}, {"parameters": {"triton_x": 1}}, "`triton_x` is one of Triton's"),
        ({}, {"parameters": {"binary_data_output": 1}}, "`binary_data_output` must be true or false"),
        ({}, {"outputs": [{"name": "x"}]}, "There is no output `x`; the outputs are: response, scores"),
        ({}, {"outputs": [{"name": "scores"}, {"name": "scores"}]}, "`scores` is requested twice"),
        ({}, {"outputs": [{"name": "scores", "parameters": {"x": 1}}]}, "the parameter `x` is not supported"),
        ({}, {"outputs": [{"name": "scores", "parameters": {"classification": -1}}]}, "must be a number of classes"),
        ({}, {"outputs": [{"name": "scores", "parameters": {"classification": True}}]}, "must be a number of classes"),
        ({}, {"outputs": [{"name": "scores", "parameters": {"binary_data": 1}}]}, "`binary_data` must be true or f"),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused(
    tensor: dict[str, Any], fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadRequest, match=message):
        parsed(tensor, **fields)


def split(document: dict[str, Any], data: bytes, length: str | None = None) -> SplitBody:
    raw = json.dumps(document).encode()
    return split_body(raw + data, {LENGTH.lower(): str(len(raw)) if length is None else length})


def test_a_body_is_split_by_the_header() -> None:
    binary = {"name": "text", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 5}}
    body = split({"inputs": [binary], "parameters": {"task": "t"}}, b"\x01\0\0\0a")
    assert (body.binary_data, body.has_json_length, body.task) == (b"\x01\0\0\0a", True, "t")
    tensor = parse(body, INPUTS, ["response"]).tensors["text"]
    assert (tensor.array.tolist(), tensor.binary) == ([b"a"], True)
    for data, message in (
        (b"\x01\0\0\0", "`binary_data_size` is 5; there are not that many bytes$"),
        (b"\x01\0\0\0ab", "1 bytes follow"),
    ):
        with pytest.raises(BadRequest, match=message):
            parse(split({"inputs": [binary]}, data), INPUTS, ["response"])
    plain = split_body(json.dumps({"inputs": [binary]}).encode(), {})
    assert (plain.has_json_length, plain.task) == (False, "")
    with pytest.raises(BadRequest, match="the header Inference-Header-Content-Length is missing"):
        parse(plain, INPUTS, ["response"])
    whole = split({}, b"abc", "0")
    assert (whole.document, whole.task) == (None, "")
    with pytest.raises(BadRequest, match="The body is empty"):
        split_body(b"", {})


def test_a_body_without_json_is_the_only_input() -> None:
    def raw(body: bytes, *inputs: TensorMetadata) -> ParsedRequest:
        return parse(SplitBody(None, body, True), inputs, ["a", "b"])

    request = raw(b"abc", *INPUTS)
    assert request.tensors["text"].array.tolist() == [b"abc"]
    assert request.outputs == (RequestedOutput("a", True), RequestedOutput("b", True))
    assert (request.id, request.parameters) == ("", {})
    ints = raw(bytes(24), TensorMetadata("x", "INT32", (-1, 2, -1))).tensors["x"]
    assert (ints.array.shape, ints.datatype, ints.binary) == ((1, 2, 3), "INT32", True)
    assert raw(bytes(8), TensorMetadata("x", "INT32", (2,))).tensors["x"].array.shape == (2,)
    for inputs, message in (
        ((*INPUTS, *INPUTS), "The model has 2 inputs; binary data without JSON is only supported for models with one"),
        ((TensorMetadata("x", "FP32", (-1, -1, -1)),), "several dynamic dimensions; send its shape in JSON"),
        ((TensorMetadata("x", "FP32", (-1, 2)),), "needs 8 bytes; 24 were sent"),
    ):
        with pytest.raises(BadRequest, match=message):
            raw(bytes(24), *inputs)


def test_texts_are_fed_as_strings() -> None:
    array = bytes_array([b"a", "ü".encode()], (2, 1))
    assert to_feed(InputTensor("BYTES", array, False)).tolist() == [["a"], ["ü"]]
    numbers = np.zeros(2, np.float32)
    assert to_feed(InputTensor("FP32", numbers, False)) is numbers
    with pytest.raises(BadRequest, match="must be UTF-8"):
        to_feed(InputTensor("BYTES", bytes_array([b"\xff"]), True))


def test_what_was_parsed_is_not_changed() -> None:
    assert mutable_structs(request_module) == set()
