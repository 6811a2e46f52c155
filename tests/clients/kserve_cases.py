"""The cases of KServe's client, run in its own environment: for each line of its input, the address of a server, it
prints a JSON object that has for each case `null`, or what went wrong."""

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
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def request(model: str, *inputs: InferInput, **more: Any) -> InferRequest:
    return InferRequest(model, list(inputs), **more)


def text(*values: str, binary: bool) -> InferInput:
    return tensor("text", np.array(values, object), "BYTES", binary=binary)


async def refused(client: InferenceRESTClient, address: str, data: Any, model: str, status: int, words: str) -> None:
    caught: httpx.HTTPStatusError | None = None
    try:
        await client.infer(address, data, model)
    except httpx.HTTPStatusError as error:
        caught = error
    assert caught is not None, "it was not refused"
    assert caught.response.status_code == status, caught
    assert words in str(caught), caught  # it read `error` of the body


async def server_is_live_and_ready(client: InferenceRESTClient, address: str) -> None:
    assert await client.is_server_live(address) is True
    assert await client.is_server_ready(address) is True


async def model_is_ready(client: InferenceRESTClient, address: str) -> None:
    assert await client.is_model_ready(address, "sentiment-en") is True
    assert await client.is_model_ready(address, "none") is False


async def infer_json(client: InferenceRESTClient, address: str) -> None:
    data = request("sentiment-en", text("i love it", "what a waste", binary=False), request_id="x")
    answer = await client.infer(address, data, "sentiment-en")
    assert (answer.id, answer.model_name) == ("x", "sentiment-en")  # it overlooks the version
    outputs = {output.name: output for output in answer.outputs}
    labels = [json.loads(one)[0]["label"] for one in outputs["response"].data]
    assert labels == ["positive", "negative"]
    assert outputs["scores"].as_numpy().shape == (2, 2)


async def infer_binary_both_ways(client: InferenceRESTClient, address: str) -> None:
    inputs = tensor("input_ids", IDS, "INT64", binary=True), tensor("attention_mask", MASK, "INT64", binary=True)
    wanted = [RequestedOutput("logits", {"binary_data": True})]
    answer = await client.infer(address, request("raw", *inputs, request_outputs=wanted), "sentiment-en-raw")
    logits = answer.outputs[0].as_numpy()
    plain = tensor("input_ids", IDS, "INT64", binary=False), tensor("attention_mask", MASK, "INT64", binary=False)
    again = await client.infer(address, request("raw", *plain), "sentiment-en-raw")
    assert logits.dtype == np.float32
    assert logits.tolist() == again.outputs[0].as_numpy().tolist()


async def bytes_binary(client: InferenceRESTClient, address: str) -> None:
    answer = await client.infer(address, request("a", text("i love it", binary=True)), "sentiment-en")
    assert answer.get_output_by_name("scores").as_numpy()[0, 1] > 0.9


async def parameters(client: InferenceRESTClient, address: str) -> None:
    data = request("a", text("a", "b", binary=False), parameters={"dimensions": 8})
    answer = await client.infer(address, data, "embeddings-en")
    assert answer.get_output_by_name("embedding").as_numpy().shape == (2, 8)


async def version_and_alias(client: InferenceRESTClient, address: str) -> None:
    found = []
    for name in ("sentiment-en", "sentiment-en@1", "sentiment-en@prod"):
        answer = await client.infer(address, request("a", text("i love it", binary=False)), name)
        found.append(answer.get_output_by_name("scores").as_numpy().tolist())
    assert found[0] == found[1] == found[2]


async def compressed_answers(client: InferenceRESTClient, address: str) -> None:
    headers: dict[str, str] = {}
    data = request("a", text("a", "b", binary=False))
    answer = await client.infer(address, data, "embeddings-en", response_headers=headers)
    assert headers["content-encoding"] == "gzip"  # which httpx asks for by itself
    assert answer.get_output_by_name("embedding").as_numpy().shape == (2, 256)


async def requests_as_dictionaries(client: InferenceRESTClient, address: str) -> None:
    one = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["i love it"]}
    answer = await client.infer(address, {"inputs": [one]}, "sentiment-en")
    assert answer.id  # made where none was given


async def unknown_model(client: InferenceRESTClient, address: str) -> None:
    await refused(client, address, request("a", text("a", binary=False)), "none", 404, "no model none")


async def wrong_shape(client: InferenceRESTClient, address: str) -> None:
    one = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a"]}
    await refused(client, address, {"inputs": [one]}, "sentiment-en", 400, "2 elements")


async def wrong_parameter(client: InferenceRESTClient, address: str) -> None:
    data = request("a", text("a", binary=False), parameters={"top_k": 0})
    await refused(client, address, data, "sentiment-en", 400, "top_k")


async def half_floats_in_json(client: InferenceRESTClient, address: str) -> None:
    one = {"name": "pixels", "shape": [1, 3, 32, 32], "datatype": "FP16", "data": [0.5] * 3072}
    await refused(client, address, {"inputs": [one]}, "resnet20-cifar10-raw", 400, "binary data")


async def answers_follow_its_data_models(client: InferenceRESTClient, address: str) -> None:
    async with httpx.AsyncClient(base_url=address, timeout=120) as plain:
        for path, kind in (
            ("/v2/health/live", models.ServerLiveResponse),
            ("/v2/health/ready", models.ServerReadyResponse),
            ("/v2", models.ServerMetadataResponse),
            ("/v2/models", models.ListModelsResponse),
            ("/v2/models/sentiment-en", models.ModelMetadataResponse),
            ("/v2/models/gpt-shakespeare-raw", models.ModelMetadataResponse),
            ("/v2/models/sentiment-en/versions/1/ready", models.ModelReadyResponse),
        ):
            kind.model_validate_json((await plain.get(path)).content, strict=True)
        one = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["i love it"]}
        asked = models.InferenceRequest.model_validate({"inputs": [one], "id": "x"}).model_dump(exclude_none=True)
        answer = await plain.post("/v2/models/sentiment-en/infer", json=asked)
        models.InferenceResponse.model_validate_json(answer.content, strict=True)


CASES: tuple[Case, ...] = (
    answers_follow_its_data_models,
    server_is_live_and_ready,
    model_is_ready,
    infer_json,
    infer_binary_both_ways,
    bytes_binary,
    parameters,
    version_and_alias,
    compressed_answers,
    requests_as_dictionaries,
    unknown_model,
    wrong_shape,
    wrong_parameter,
    half_floats_in_json,
)


async def run(address: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    async with InferenceRESTClient(RESTConfig(protocol="v2", timeout=120)) as client:
        for case in CASES:
            try:
                await case(client, address)
            except Exception:
                found[case.__name__] = traceback.format_exc()
            else:
                found[case.__name__] = None
    return found


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(asyncio.run(run(line.strip()))), flush=True)
