"""The Open Inference Protocol on the local server: binary layouts, every refusal, and the tasks of the zoo."""

from __future__ import annotations

import base64
import gzip
import json
import struct
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from hearth import settings
from hearth.aws_lambda import http_event
from hearth.aws_lambda.http_adapter import HttpAdapter
from hearth.models.cache import warm_cache
from hearth.models.registry import Ref
from hearth.telemetry import statistics
from hearth_build import ZOO
from hearth_build.cli import serve
from tests.functions.test_predict import picture
from tests.runtime.aws_lambda.test_handler import rest_v1_event
from tests.support.sounds import encode_audio

LENGTH = "Inference-Header-Content-Length"
TEXT = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["i love it"]}
IDS = {"name": "input_ids", "datatype": "INT64", "shape": [1, 3], "data": [101, 2293, 102]}
MASK = {"name": "attention_mask", "datatype": "INT64", "shape": [1, 3], "data": [1, 1, 1]}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEARTH_STORE", ZOO.as_uri())
        patch.setenv("HEARTH_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HEARTH_THREADS", "1")
        settings.get.cache_clear()
        warm_cache.cache_clear()
        statistics.clear()
        with TestClient(serve.app(), raise_server_exceptions=False) as client:
            del client.headers["accept-encoding"]
            yield client
    settings.get.cache_clear()
    warm_cache.cache_clear()


def zeros(model: str, role: str = "main", **sizes: int) -> dict[str, np.ndarray[Any, Any]]:
    """Return zeros for the inputs of a model's graph; `sizes` are those of its dynamic dimensions."""
    registry = warm_cache().registry
    graph = registry.resolve(model).manifest.graphs[role]
    dtypes = {"int64": "<i8", "int32": "<i4", "float32": "<f4"}
    return {
        tensor.name: np.zeros(
            [sizes[size] if isinstance(size, str) else size for size in tensor.shape], dtypes[tensor.dtype]
        )
        for tensor in graph.inputs
    }


def texts(*values: str, name: str = "text") -> dict[str, Any]:
    return {"name": name, "datatype": "BYTES", "shape": [len(values)], "data": list(values)}


def infer(client: TestClient, model: str, *inputs: dict[str, Any], **fields: Any) -> dict[str, Any]:
    response = client.post(f"/v2/models/{model}/infer", json={"inputs": list(inputs), **fields})
    assert response.status_code == 200, response.text
    return {output["name"]: output for output in response.json()["outputs"]}


def infer_binary(
    client: TestClient, model: str, header: dict[str, Any], *buffers: bytes, **headers: str
) -> tuple[dict[str, Any], bytes, Any]:
    """Infer with binary tensors; return the JSON header, the bytes after it, and the response."""
    content = json.dumps(header).encode()
    headers |= {LENGTH: str(len(content))}
    response = client.post(f"/v2/models/{model}/infer", content=content + b"".join(buffers), headers=headers)
    assert response.status_code == 200, response.text
    if LENGTH not in response.headers:
        return response.json(), b"", response
    length = int(response.headers[LENGTH])
    return json.loads(response.content[:length]), response.content[length:], response


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


def test_a_version_an_alias_and_the_name_alone_give_equal_outputs(client: TestClient) -> None:
    paths = [
        "sentiment-en",
        "sentiment-en@1",
        "sentiment-en@prod",
        "sentiment-en/versions/1",
        "sentiment-en/versions/prod",
    ]
    outputs = []
    for path in paths:
        response = client.post(f"/v2/models/{path}/infer", json={"id": "a", "inputs": [TEXT]})
        outputs.append(response.json())
    assert outputs[0]["id"] == "a"
    assert outputs[0]["model_version"] == "1"
    assert all(output == outputs[0] for output in outputs)
    raw = [infer(client, f"sentiment-en{name}", IDS, MASK) for name in ("-raw", "-raw@1", "-raw/versions/1")]
    assert raw[0] == raw[1] == raw[2]


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


def test_binary_data_of_an_output_overrides_the_request(client: TestClient) -> None:
    outputs = [{"name": "response", "parameters": {"binary_data": False}}, {"name": "scores"}]
    request = {"inputs": [TEXT], "outputs": outputs, "parameters": {"binary_data_output": True}}
    response = client.post("/v2/models/sentiment-en/infer", json=request)
    header = json.loads(response.content[: int(response.headers[LENGTH])])
    assert ["data" in output for output in header["outputs"]] == [True, False]


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


def test_a_request_needs_no_content_type_and_an_index_no_body(client: TestClient) -> None:
    body = json.dumps({"inputs": [TEXT]}).encode()
    request = client.build_request("POST", "/v2/models/sentiment-en/infer", content=body)
    assert "content-type" not in request.headers
    assert client.send(request).status_code == 200
    assert client.post("/v2/repository/index").status_code == 200


def tensor(**changes: Any) -> dict[str, Any]:
    return {**TEXT, **changes}


def ids(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{**IDS, **changes}, MASK]}


PIXELS = {"name": "pixels", "datatype": "FP16", "shape": [1, 3, 32, 32], "data": [0.0] * 3072}
EN, RAW = "sentiment-en", "sentiment-en-raw"
INVALID: list[tuple[str, Any, int, str]] = [
    (EN, b"", 400, "empty"),
    (EN, b"{", 400, "JSON"),
    (EN, b"[]", 400, "object"),
    (EN, b'{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [NaN]}]}', 400, "NaN"),
    (EN, {}, 400, "inputs"),
    (EN, {"inputs": []}, 400, "inputs"),
    (EN, {"inputs": [TEXT, TEXT]}, 400, "twice"),
    (EN, {"inputs": [TEXT], "colour": 1}, 400, "colour"),
    (EN, {"inputs": [tensor(name="txet")]}, 400, "txet"),
    (EN, {"inputs": [tensor(datatype="INT8", data=[1])]}, 400, "BYTES"),
    (EN, {"inputs": [tensor(datatype="BF16")]}, 400, "BF16"),
    (EN, {"inputs": [tensor(shape=[2])]}, 400, "2 elements"),
    (EN, {"inputs": [tensor(shape=[-1])]}, 400, "shape"),
    (EN, {"inputs": [tensor(shape=[2**40])]}, 400, "shape"),
    (EN, {"inputs": [tensor(shape=[0, *[2**31 - 1] * 7], data=[])]}, 400, "shape"),
    (EN, {"inputs": [tensor(shape=[0], data=[])]}, 400, "at least one"),
    (EN, {"inputs": [tensor(shape=[1, 1, 1])]}, 400, "[n, 1]"),
    (EN, {"inputs": [tensor(data=[5])]}, 400, "strings"),
    (EN, {"inputs": [tensor(data="good")]}, 400, "`data`"),
    (EN, {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1]}]}, 400, "binary_data_size"),
    (EN, {"inputs": [tensor(parameters={"binary_data_size": 3})]}, 400, "either"),
    (
        EN,
        {"inputs": [{**{k: TEXT[k] for k in ("name", "datatype", "shape")}, "parameters": {"binary_data_size": 9}}]},
        400,
        "Inference-Header-Content-Length",
    ),
    (EN, {"inputs": [tensor(parameters={"shared_memory_region": "x"})]}, 400, "shared_memory_region"),
    (EN, {"inputs": [tensor(parameters={"content_type": "pd"})]}, 400, "content_type"),
    (EN, {"inputs": [tensor(parameters={"content_type": "base64"})]}, 400, "base64"),
    (EN, {"inputs": [TEXT], "outputs": [{"name": "x"}]}, 400, "no output"),
    (EN, {"inputs": [TEXT], "outputs": [{"name": "scores"}] * 2}, 400, "twice"),
    (EN, {"inputs": [TEXT], "outputs": [{"name": "scores", "parameters": {"binary_data": 1}}]}, 400, "binary_data"),
    (EN, {"inputs": [TEXT], "outputs": [{"name": "scores", "parameters": {"x": 1}}]}, 400, "`x`"),
    (
        EN,
        {"inputs": [TEXT], "outputs": [{"name": "response", "parameters": {"classification": 1}}]},
        400,
        "classification",
    ),
    (EN, {"inputs": [TEXT], "parameters": {"top_k": 0}}, 400, "top_k"),
    (EN, {"inputs": [TEXT], "parameters": {"colour": 1}}, 400, "colour"),
    (EN, {"inputs": [TEXT], "parameters": {"top_k": "[1"}}, 400, "top_k"),
    (EN, {"inputs": [TEXT], "parameters": {"top_k": [1]}}, 400, "parameters"),
    (EN, {"inputs": [TEXT], "parameters": {"sequence_id": 5}}, 400, "sequence_id"),
    (EN, {"inputs": [TEXT], "parameters": {"triton_final": True}}, 400, "triton_final"),
    (EN, {"inputs": [TEXT], "parameters": {"binary_data_output": "yes"}}, 400, "binary_data_output"),
    (EN, {"inputs": [TEXT], "parameters": {"task": "translation"}}, 404, "translation"),
    (EN, {"inputs": [tensor(shape=[65], data=["a"] * 65)]}, 413, "64"),
    (EN, {"inputs": [tensor(data=["a" * 20_001])]}, 413, "characters"),
    ("none", {"inputs": [TEXT]}, 404, "no model"),
    ("sentiment-en@9", {"inputs": [TEXT]}, 404, "version 9"),
    ("sentiment-en@", {"inputs": [TEXT]}, 400, "name@version"),
    ("sentiment-en@1/versions/2", {"inputs": [TEXT]}, 400, "send one"),
    ("UP", {"inputs": [TEXT]}, 400, "name@version"),
    ("sentiment-en-raw-decoder", {"inputs": [TEXT]}, 404, "no graph"),
    (RAW, {"inputs": [IDS]}, 400, "missing"),
    (RAW, {"inputs": [IDS, MASK, TEXT]}, 400, "no input"),
    (RAW, {"inputs": [IDS, MASK], "parameters": {"top_k": 1}}, 400, "top_k"),
    (RAW, ids(datatype="INT32"), 400, "INT64"),
    (RAW, ids(data=[1, 2.5, 3]), 400, "integers"),
    (RAW, ids(data=[1, True, 3]), 400, "integers"),
    (RAW, ids(data=[1, 2, 2**63]), 400, "fit"),
    (RAW, ids(data=[[1, 2], [3]]), 400, "nested"),
    (RAW, ids(data=[[1, 2, [3]]]), 400, "integers"),
    (RAW, ids(shape=[1, 1, 3]), 400, "shape"),
    (RAW, ids(shape=[3, 1]), 400, "batch is 1"),
    (RAW, ids(shape=[1, 2], data=[1, 2]), 400, "sequence"),
    (RAW, ids(shape=[1, 0], data=[]), 400, "at least 1"),
    (RAW, {"inputs": [{**item, "shape": [1, 129], "data": [1] * 129} for item in (IDS, MASK)]}, 413, "128"),
    (RAW, ids(data=[1, 50_000_000, 3]), 400, "bounds"),
    ("resnet20-cifar10-raw", {"inputs": [PIXELS]}, 400, "binary"),
    ("resnet20-cifar10-raw", {"inputs": [{**PIXELS, "datatype": "FP32", "data": [1e300] * 3072}]}, 400, "fit"),
    (
        "resnet20-cifar10-raw",
        {"inputs": [{**PIXELS, "datatype": "FP32", "data": [10**400] * 3072}]},
        400,
        "64 characters",
    ),
    ("resnet20-cifar10", {"inputs": [tensor(name="image", data=["%%"])]}, 400, "base64"),
    ("resnet20-cifar10", {"inputs": [tensor(name="image", data=["aGFsbG8="])]}, 415, "JPEG"),
    ("resnet20-cifar10", {"inputs": [tensor(name="image", parameters={"content_type": "str"})]}, 400, "file"),
    ("embeddings-en", {"inputs": [TEXT], "parameters": {"task": "sentence-similarity"}}, 400, "source_sentence"),
    ("gpt-shakespeare", {"inputs": [tensor(data=["a", "b"], shape=[2])]}, 413, "1 are allowed"),
]


@pytest.mark.parametrize(("model", "body", "status", "message"), INVALID)
def test_a_bad_request_says_why(client: TestClient, model: str, body: Any, status: int, message: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = client.post(f"/v2/models/{model}/infer", content=content)
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error"}
    assert message in response.json()["error"]


def encode_request(header: dict[str, Any], data: bytes) -> tuple[bytes, int]:
    content = json.dumps(header).encode()
    return content + data, len(content)


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


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v2/nowhere", 404), ("POST", "/v2/models", 405), ("GET", "/v2/models/none/stats", 404),
     ("GET", "/v2/models/none/config", 404), ("GET", "/v2/models/none/ready", 404),
     ("POST", "/v2/repository/models/none/load", 404), ("POST", "/v2/repository/models/none/unload", 404),
     ("GET", "/v2/models/sentiment-en?task=translation", 404), ("GET", "/v2/models/sentiment-en?task=nonsense", 404),
     ("POST", "/v2/models/sentiment-en/generate", 404), ("POST", "/v2/models/gpt-shakespeare/generate", 400)],
)  # fmt: skip
def test_every_error_has_the_protocols_format(client: TestClient, method: str, path: str, status: int) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert set(response.json()) == {"error"}
    assert isinstance(response.json()["error"], str)


def to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


SOUND = to_base64(encode_audio(0.3 * np.sin(np.arange(4000) / 3), 8000))
TASKS: list[tuple[str, str, list[str], dict[str, Any], dict[str, list[int]]]] = [
    ("sentiment-en", "text", ["i love it", "what a waste"], {}, {"scores": [2, 2]}),
    ("ner-zh", "text", ["王小明昨天从北京大学出发", "我去了上海"], {"aggregation_strategy": "none"}, {}),
    ("embeddings-en", "text", ["hello", "good bye"], {"dimensions": 64}, {"embedding": [2, 64]}),
    ("translate-en-zh", "text", ["A dog runs.", "Two children."], {"num_beams": 1}, {"translation_text": [2]}),
    ("gpt-shakespeare", "text", ["ROMEO:"], {"max_new_tokens": 5, "details": True, "seed": 1}, {"generated_text": [1]}),
    ("resnet20-cifar10", "image", [to_base64(picture())] * 2, {"top_k": 2}, {"scores": [2, 10]}),
    ("yolo-cells", "image", [to_base64(picture())] * 2, {"threshold": 0.01}, {"num_dets": [2, 1]}),
    ("deepspeech-digits", "audio", [SOUND], {"return_timestamps": True}, {"transcript": [1]}),
]


@pytest.mark.parametrize(("model", "name", "items", "parameters", "shapes"), TASKS, ids=[task[0] for task in TASKS])
def test_responses_equal_the_native_outputs(
    client: TestClient, model: str, name: str, items: list[str], parameters: dict[str, Any], shapes: dict[str, Any]
) -> None:
    outputs = infer(client, model, texts(*items, name=name), parameters=parameters)
    assert {key: outputs[key]["shape"] for key in shapes} == shapes
    actual = [json.loads(text) for text in outputs["response"]["data"]]
    native = client.post(
        f"/models/{model}", json={"inputs": items if len(items) > 1 else items[0], "parameters": parameters}
    )
    assert actual == (native.json() if model != "deepspeech-digits" else [native.json()])
    assert set(outputs) == {output["name"] for output in client.get(f"/v2/models/{model}").json()["outputs"]}


def test_typed_outputs_equal_the_responses(client: TestClient) -> None:
    outputs = infer(client, "sentiment-en", texts("i love it", "awful"))
    scores = np.reshape(outputs["scores"]["data"], (2, 2))
    for row, text in zip(scores, outputs["response"]["data"], strict=True):
        assert {score["label"]: score["score"] for score in json.loads(text)} == dict(
            zip(["negative", "positive"], row.tolist(), strict=True)
        )
    outputs = infer(client, "yolo-cells", texts(to_base64(picture()), name="image"), parameters={"threshold": 0.0})
    boxes = json.loads(outputs["response"]["data"][0])
    assert outputs["num_dets"]["data"] == [len(boxes)]
    assert outputs["det_boxes"]["data"][:4] == [boxes[0]["box"][edge] for edge in ("xmin", "ymin", "xmax", "ymax")]
    assert outputs["det_classes"]["data"][0] == ["RBC", "WBC", "Platelets"].index(boxes[0]["label"])
    outputs = infer(client, "embeddings-en", texts("hello"))
    assert json.loads(outputs["response"]["data"][0]) == pytest.approx(outputs["embedding"]["data"], abs=1e-7)


def test_another_task_of_the_same_model_is_chosen_by_parameter(client: TestClient) -> None:
    sentences = ["Somebody plays an instrument.", "The bank raised its rates."]
    task_parameters = {"task": "sentence-similarity", "source_sentence": "A man is playing the guitar."}
    outputs = infer(client, "embeddings-en", texts(*sentences), parameters=task_parameters)
    native = client.post(
        "/pipeline/sentence-similarity/embeddings-en",
        json={"inputs": {"source_sentence": task_parameters["source_sentence"], "sentences": sentences}},
    ).json()
    assert outputs["scores"]["data"] == pytest.approx(native)
    frames = texts(*[to_base64(picture())] * 3, name="video")
    outputs = infer(client, "yolo-cells", frames, parameters={"task": "object-tracking"})
    assert json.loads(outputs["response"]["data"][0])["frames"] == 3
    assert outputs["tracks"]["shape"][1] == 8
    requested = [{"name": "tracks", "parameters": {"classification": 1}}]
    outputs = infer(client, "yolo-cells", frames, parameters={"task": "object-tracking"}, outputs=requested)
    assert outputs["tracks"]["shape"] == [0, 1]


def test_list_parameters_are_sent_as_json(client: TestClient) -> None:
    options = {"max_new_tokens": 20, "seed": 1, "temperature": 0.8}
    text = infer(client, "gpt-shakespeare", texts("ROMEO:"), parameters=options)["generated_text"]["data"][0]
    stop = text[6:8]
    stopped = infer(client, "gpt-shakespeare", texts("ROMEO:"), parameters={**options, "stop": json.dumps([stop])})
    assert stopped["generated_text"]["data"][0] == text[: text.index(stop)]


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
        client, RAW, {"inputs": [ids, MASK], "outputs": outputs}, struct.pack("<3q", *IDS["data"])
    )
    assert header["outputs"][0]["shape"] == [1, 2]
    (length,) = struct.unpack("<I", data[:4])
    assert data[4 : 4 + length].endswith((b":0:negative", b":1:positive"))


def test_mlservers_content_types_are_accepted(client: TestClient) -> None:
    plain = infer(client, "sentiment-en", texts("i love it"))["scores"]
    for parameters in ({"content_type": "str"}, {"content_type": "base64"}):
        data = to_base64(b"i love it") if parameters["content_type"] == "base64" else "i love it"
        input_tensor = {**texts(data), "parameters": parameters}
        assert infer(client, "sentiment-en", input_tensor)["scores"] == plain
        assert infer(client, "sentiment-en", texts(data), parameters=parameters)["scores"] == plain
    body = struct.pack("<I", len(to_base64(picture()))) + to_base64(picture()).encode()
    image = {
        "name": "image",
        "datatype": "BYTES",
        "shape": [1],
        "parameters": {"binary_data_size": len(body), "content_type": "base64"},
    }
    header, _, _ = infer_binary(client, "resnet20-cifar10", {"inputs": [image]}, body)
    assert (
        header["outputs"][1] == infer(client, "resnet20-cifar10", texts(to_base64(picture()), name="image"))["scores"]
    )


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


def test_generate_and_generate_stream_return_the_same_text(client: TestClient) -> None:
    path = "/v2/models/gpt-shakespeare/generate"
    body = {"text_input": "ROMEO:\n", "parameters": {"max_new_tokens": 12, "seed": 3, "temperature": 0.7}, "id": "g"}
    output = client.post(path, json=body).json()
    assert (output["id"], output["model_name"]) == ("g", "gpt-shakespeare")
    assert output["model_version"] == warm_cache().registry.find("gpt-shakespeare").version
    flat_body = {"text_input": "ROMEO:\n", "max_tokens": 12, "seed": 3, "temperature": 0.7, "stream": False}
    assert client.post(path, json=flat_body).json()["text_output"] == output["text_output"]
    stream = client.post(f"{path}_stream", json=body)
    assert stream.headers["content-type"].startswith("text/event-stream")
    chunks = [json.loads(line[6:]) for line in stream.text.splitlines() if line.startswith("data: ")]
    assert len(chunks) > 3
    assert "".join(chunk["text_output"] for chunk in chunks) == output["text_output"]
    assert {chunk["id"] for chunk in chunks} == {"g"}
    assert [chunk["done"] for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    for invalid in (
        {"text_input": "a", "stream": True},
        {"text_input": "a", "seed": 1, "parameters": {"seed": 1}},
        {"text_input": "a", "colour": 1},
        {"text_input": ""},
        {"max_tokens": 1},
    ):
        response = client.post(path, json=invalid)
        assert (response.status_code, set(response.json())) == (400, {"error"})
    assert client.post(f"{path}_stream", json={"text_input": ""}).status_code == 400  # before the stream starts


def test_the_cache_of_a_language_model_cannot_be_overrun(client: TestClient) -> None:
    def status_of(total: int, capacity: int, row: int = 0) -> int:
        feeds = zeros("gpt-shakespeare", n=2, k=1, capacity=capacity)
        feeds["input_ids"][:], feeds["total"][:], feeds["rows"][:] = 5, total, row
        return infer_arrays(client, "gpt-shakespeare-raw", feeds)

    context = int(client.get("/models/gpt-shakespeare").json()["head"]["context"])
    assert status_of(total=2, capacity=4) == 200
    for total, capacity in ((5, 4), (1, 4), (0, 4), (-1, 4), (2**31 - 1, 4), (2, 0)):
        assert status_of(total, capacity) == 400
    assert status_of(context + 1, context + 1) == 413
    assert status_of(total=2, capacity=4, row=2) == 400


def test_openapi_has_every_route(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for path in (
        "/v2",
        "/v2/",
        "/v2/models/{name}/versions/{version}/infer",
        "/v2/models/stats",
        "/v2/repository/index",
    ):
        assert path in paths
    assert paths["/v2/repository/index"]["post"]["requestBody"]["required"] is False
    content = paths["/v2/models/{name}/infer"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "application/octet-stream"}
    identifiers = [operation["operationId"] for path in paths.values() for operation in path.values()]
    assert len(identifiers) == len(set(identifiers))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2/models/sentiment-en/infer", "sentiment-en"),
        ("/v2/models/sentiment-en/versions/1/infer", "sentiment-en"),
        ("/v2/models/sentiment-en-raw%40prod/infer", "sentiment-en"),
        ("/v2/models/translate-en-zh-raw-decoder@prod/infer", "translate-en-zh"),
        ("/endpoints/sentiment-zh/invocations", "sentiment-zh"),
        ("/pipeline/text-classification/sentiment-zh", "sentiment-zh"),
        ("/v2/models/sentiment-zh/config", ""),
    ],
)
def test_a_cold_start_loads_the_model_in_the_path(client: TestClient, path: str, expected: str) -> None:
    for ref in warm_cache().loaded():
        warm_cache().drop(ref)
    event = rest_v1_event(path)
    HttpAdapter((), None).respond(http_event.read(event), event, None)
    for thread in threading.enumerate():
        if thread.name == "hearth-load":
            thread.join()
    assert {ref.model for ref in warm_cache().loaded()} == ({expected} if expected else set())


# No values that a client sends cause a 5xx or end the process.
sizes = st.integers(0, 6)
numbers = st.one_of(st.integers(-3, 40), st.sampled_from([-(2**63), 2**63 - 1, 21127, 21128, 30521, 30522, -30523]))
RAW_MODELS = {
    "sentiment-en-raw": ("input_ids", "attention_mask"),
    "ner-zh-raw": ("input_ids", "attention_mask"),
    "embeddings-en-raw": ("input_ids", "attention_mask"),
    "translate-en-zh-raw": ("input_ids", "attention_mask"),
}


def infer_arrays(client: TestClient, model: str, arrays: dict[str, np.ndarray[Any, Any]]) -> int:
    datatypes = {"<i8": "INT64", "<f4": "FP32", "<i4": "INT32"}
    header: dict[str, Any] = {"inputs": [], "parameters": {"binary_data_output": True}}
    content = b""
    for name, array in arrays.items():
        data = array.tobytes()
        header["inputs"].append(
            {"name": name, "datatype": datatypes[array.dtype.str], "shape": list(array.shape),
             "parameters": {"binary_data_size": len(data)}}
        )  # fmt: skip
        content += data
    body, length = encode_request(header, content)
    return client.post(f"/v2/models/{model}/infer", content=body, headers={LENGTH: str(length)}).status_code


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_values_break_a_graph(client: TestClient, data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(sorted(RAW_MODELS)))
    shape = data.draw(st.tuples(sizes, sizes))
    arrays = {}
    for name in RAW_MODELS[model]:
        array_shape = data.draw(st.sampled_from([shape, shape, shape, (*shape, 1), shape[:1]]))
        count = int(np.prod(array_shape))
        arrays[name] = np.array(data.draw(st.lists(numbers, min_size=count, max_size=count)), "<i8").reshape(
            array_shape
        )
    assert infer_arrays(client, model, arrays) in (200, 400, 413)


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_values_break_a_decoder(client: TestClient, data: st.DataObject) -> None:
    sizes = {name: data.draw(st.integers(0, 4)) for name in ("rows", "batch", "source", "written")}
    feeds = zeros("translate-en-zh", "decoder", **sizes)
    for array in feeds.values():
        if array.dtype.kind == "f":
            array[:] = data.draw(st.sampled_from([0.0, 1.0, -1e38, float("nan"), float("inf")]))
        else:
            array[:] = data.draw(numbers)
    assert infer_arrays(client, "translate-en-zh-raw-decoder", feeds) in (200, 400, 413)


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_values_break_a_language_model(client: TestClient, data: st.DataObject) -> None:
    sizes = {name: data.draw(st.integers(0, maximum)) for name, maximum in (("n", 6), ("k", 4), ("capacity", 8))}
    feeds = zeros("gpt-shakespeare", **sizes)
    for name, array in feeds.items():
        if name.startswith("past"):
            array[:] = data.draw(st.sampled_from([0.0, 1e38]))
        elif name == "input_ids":
            array[0] = data.draw(st.lists(numbers, min_size=sizes["n"], max_size=sizes["n"]))
        else:
            array[:] = data.draw(st.integers(-9, 12))
    assert infer_arrays(client, "gpt-shakespeare-raw", feeds) in (200, 400, 413)


values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
inputs = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["text", "image", "audio", "video", "question", "input_ids", "pixels", "x"]),
        "datatype": st.sampled_from(["BYTES", "FP32", "INT64", "BOOL", "FP16", "UINT8"]) | values,
        "shape": st.lists(st.integers(0, 3), max_size=4) | values,
        "data": st.lists(st.text(max_size=5), max_size=4) | st.lists(st.floats(allow_nan=False)) | values,
    },
    optional={"parameters": st.dictionaries(st.sampled_from(["content_type", "binary_data_size"]), values)},
)


@hypothesis_settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    model=st.sampled_from(
        ["sentiment-en", "ner-zh", "embeddings-en", "resnet20-cifar10", "yolo-cells", "ner-zh-raw", "yolo-cells-raw"]
    ),
    tensors=st.lists(inputs, max_size=3),
    parameters=st.dictionaries(st.sampled_from(["top_k", "task", "threshold", "stride", "binary_data_output"]), values),
    content=st.binary(max_size=40),
    cut=st.integers(-3, 3) | st.none(),
)  # fmt: skip
@example(model="yolo-cells", tensors=[{**TEXT, "name": "image", "data": [""]}], parameters={}, content=b"", cut=None)
def test_no_request_causes_a_server_error(
    client: TestClient, model: str, tensors: list[Any], parameters: Any, content: bytes, cut: int | None
) -> None:
    body, length = encode_request({"inputs": tensors, "parameters": parameters}, content)
    headers = {} if cut is None else {LENGTH: str(max(length + cut, 0))}
    response = client.post(f"/v2/models/{model}/infer", content=body, headers=headers)
    assert response.status_code < 500, response.text
    if response.status_code != 200:
        assert set(response.json()) == {"error"}
