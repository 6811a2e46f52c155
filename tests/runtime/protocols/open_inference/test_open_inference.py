"""The Open Inference Protocol on the local server: binary layouts, every refusal, and the tasks of the zoo."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from hearth.aws_lambda import http_event
from hearth.aws_lambda.http_adapter import HttpAdapter
from hearth.models.cache import warm_cache
from tests.runtime.aws_lambda.test_handler import rest_v1_event
from tests.runtime.protocols.open_inference.calls import IDS, LENGTH, MASK, TEXT, encode_request


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
    (EN, {"inputs": [tensor(data=["%"], parameters={"content_type": "base64"})]}, 400, "base64"),
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


def test_openapi_has_every_route(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for path in (
        "/v2",
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


@pytest.mark.slow
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
