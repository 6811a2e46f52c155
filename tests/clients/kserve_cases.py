"""Test cases of KServe's client, run in its own environment. Each line of standard input is the address of a server;
the script prints a JSON object that has `null` or a traceback for each case."""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from kserve.protocol.rest import v2_datamodels as models

Case = Callable[[InferenceRESTClient, str], Awaitable[None]]
IDS, MASK = np.array([[101, 2293, 102]]), np.ones((1, 3), np.int64)


def tensor(name: str, array: Any, datatype: str, *, binary: bool) -> InferInput:
    infer_input = InferInput(name, list(array.shape), datatype)
    infer_input.set_data_from_numpy(array, binary_data=binary)
    return infer_input


def request(model: str, *inputs: InferInput, **options: Any) -> InferRequest:
    return InferRequest(model, list(inputs), **options)


def text(*values: str, binary: bool) -> InferInput:
    return tensor("text", np.array(values, object), "BYTES", binary=binary)


async def assert_refused(
    client: InferenceRESTClient, address: str, data: Any, model: str, status: int, message: str
) -> None:
    failure: httpx.HTTPStatusError | None = None
    try:
        await client.infer(address, data, model)
    except httpx.HTTPStatusError as error:
        failure = error
    assert failure is not None, "the request was not refused"
    assert failure.response.status_code == status, failure
    assert message in str(failure), failure  # the client read `error` in the body


async def server_is_live_and_ready(client: InferenceRESTClient, address: str) -> None:
    assert await client.is_server_live(address) is True
    assert await client.is_server_ready(address) is True


async def model_is_ready(client: InferenceRESTClient, address: str) -> None:
    assert await client.is_model_ready(address, "sentiment-en") is True
    assert await client.is_model_ready(address, "none") is False


async def infer_json(client: InferenceRESTClient, address: str) -> None:
    data = request("sentiment-en", text("i love it", "what a waste", binary=False), request_id="x")
    response = await client.infer(address, data, "sentiment-en")
    assert (response.id, response.model_name) == ("x", "sentiment-en")  # the client ignores the version
    outputs = {output.name: output for output in response.outputs}
    labels = [json.loads(text_output)[0]["label"] for text_output in outputs["response"].data]
    assert labels == ["positive", "negative"]
    assert outputs["scores"].as_numpy().shape == (2, 2)


async def infer_binary_both_ways(client: InferenceRESTClient, address: str) -> None:
    inputs = tensor("input_ids", IDS, "INT64", binary=True), tensor("attention_mask", MASK, "INT64", binary=True)
    requested_outputs = [RequestedOutput("logits", {"binary_data": True})]
    response = await client.infer(
        address, request("raw", *inputs, request_outputs=requested_outputs), "sentiment-en-raw"
    )
    logits = response.outputs[0].as_numpy()
    json_inputs = tensor("input_ids", IDS, "INT64", binary=False), tensor("attention_mask", MASK, "INT64", binary=False)
    json_response = await client.infer(address, request("raw", *json_inputs), "sentiment-en-raw")
    assert logits.dtype == np.float32
    assert logits.tolist() == json_response.outputs[0].as_numpy().tolist()


async def bytes_binary(client: InferenceRESTClient, address: str) -> None:
    response = await client.infer(address, request("a", text("i love it", binary=True)), "sentiment-en")
    assert response.get_output_by_name("scores").as_numpy()[0, 1] > 0.9


async def parameters(client: InferenceRESTClient, address: str) -> None:
    data = request("a", text("a", "b", binary=False), parameters={"dimensions": 8})
    response = await client.infer(address, data, "embeddings-en")
    assert response.get_output_by_name("embedding").as_numpy().shape == (2, 8)


async def version_and_alias(client: InferenceRESTClient, address: str) -> None:
    scores = []
    for name in ("sentiment-en", "sentiment-en@1", "sentiment-en@prod"):
        response = await client.infer(address, request("a", text("i love it", binary=False)), name)
        scores.append(response.get_output_by_name("scores").as_numpy().tolist())
    assert scores[0] == scores[1] == scores[2]


async def compressed_responses(client: InferenceRESTClient, address: str) -> None:
    headers: dict[str, str] = {}
    data = request("a", text("a", "b", binary=False))
    response = await client.infer(address, data, "embeddings-en", response_headers=headers)
    assert headers["content-encoding"] == "gzip"  # httpx requests it by default
    assert response.get_output_by_name("embedding").as_numpy().shape == (2, 256)


async def requests_as_dictionaries(client: InferenceRESTClient, address: str) -> None:
    text_input = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["i love it"]}
    response = await client.infer(address, {"inputs": [text_input]}, "sentiment-en")
    assert response.id  # generated if the request has none


async def unknown_model(client: InferenceRESTClient, address: str) -> None:
    await assert_refused(client, address, request("a", text("a", binary=False)), "none", 404, "no model none")


async def wrong_shape(client: InferenceRESTClient, address: str) -> None:
    text_input = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a"]}
    await assert_refused(client, address, {"inputs": [text_input]}, "sentiment-en", 400, "2 elements")


async def wrong_parameter(client: InferenceRESTClient, address: str) -> None:
    data = request("a", text("a", binary=False), parameters={"top_k": 0})
    await assert_refused(client, address, data, "sentiment-en", 400, "top_k")


async def half_floats_in_json(client: InferenceRESTClient, address: str) -> None:
    pixels_input = {"name": "pixels", "shape": [1, 3, 32, 32], "datatype": "FP16", "data": [0.5] * 3072}
    await assert_refused(client, address, {"inputs": [pixels_input]}, "resnet20-cifar10-raw", 400, "binary data")


async def responses_follow_its_data_models(client: InferenceRESTClient, address: str) -> None:
    async with httpx.AsyncClient(base_url=address, timeout=120) as http:
        for path, data_model in (
            ("/v2/health/live", models.ServerLiveResponse),
            ("/v2/health/ready", models.ServerReadyResponse),
            ("/v2", models.ServerMetadataResponse),
            ("/v2/models", models.ListModelsResponse),
            ("/v2/models/sentiment-en", models.ModelMetadataResponse),
            ("/v2/models/gpt-shakespeare-raw", models.ModelMetadataResponse),
            ("/v2/models/sentiment-en/versions/1/ready", models.ModelReadyResponse),
        ):
            data_model.model_validate_json((await http.get(path)).content, strict=True)
        text_input = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["i love it"]}
        body = models.InferenceRequest.model_validate({"inputs": [text_input], "id": "x"}).model_dump(exclude_none=True)
        response = await http.post("/v2/models/sentiment-en/infer", json=body)
        models.InferenceResponse.model_validate_json(response.content, strict=True)


CASES: tuple[Case, ...] = (
    responses_follow_its_data_models,
    server_is_live_and_ready,
    model_is_ready,
    infer_json,
    infer_binary_both_ways,
    bytes_binary,
    parameters,
    version_and_alias,
    compressed_responses,
    requests_as_dictionaries,
    unknown_model,
    wrong_shape,
    wrong_parameter,
    half_floats_in_json,
)


async def run(address: str) -> dict[str, str | None]:
    results: dict[str, str | None] = {}
    async with InferenceRESTClient(RESTConfig(protocol="v2", timeout=120)) as client:
        for case in CASES:
            try:
                await case(client, address)
            except Exception:
                results[case.__name__] = traceback.format_exc()
            else:
                results[case.__name__] = None
    return results


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(asyncio.run(run(line.strip()))), flush=True)
