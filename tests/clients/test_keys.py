"""API keys as the official clients send them, and their exceptions for missing keys and exceeded rate limits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import openai
import pytest
import tritonclient.http as triton
from botocore.config import Config
from botocore.exceptions import ClientError
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from tritonclient.utils import InferenceServerException

from hearth import settings
from hearth.auth import api_keys
from tests.clients.conftest import serve_through

MINE, OTHERS = "sentiment-en", "resnet20-cifar10"


@pytest.fixture(params=["local", "rest-v1"])
def address(request: pytest.FixtureRequest, serving: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server with two models. The keys allow one of them; `slow` allows one request per second."""
    entries = [
        {"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), "models": [MINE]} | options
        for name, options in (("mine", {}), ("slow", {"rate": 1}), ("slower", {"rate": 0.001}))
    ]
    monkeypatch.setenv("HEARTH_API_KEYS", json.dumps(entries))
    settings.get.cache_clear()
    api_keys._read_table.cache_clear()
    with serve_through(request.param) as address:
        yield address


def test_openai(address: str) -> None:
    def client(key: str, **options: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{address}/v1", api_key=key, **options)

    with client("mine") as mine:
        assert [model.id for model in mine.models.list()] == [MINE]
        with pytest.raises(openai.PermissionDeniedError, match="may not use"):
            mine.embeddings.create(model=OTHERS, input="a")
    with client("wrong") as wrong, pytest.raises(openai.AuthenticationError) as failure:
        wrong.models.list()
    assert failure.value.code == "invalid_api_key"
    with client("slow") as patient:  # it waits for the time in Retry-After and retries
        assert [[model.id for model in patient.models.list()] for _ in range(2)] == [[MINE]] * 2
    with client("slower", max_retries=0) as slower:
        slower.models.list()
        with pytest.raises(openai.RateLimitError) as failure:
            slower.models.list()
    assert failure.value.code == "rate_limit_exceeded"
    assert failure.value.response.headers["retry-after"] == "1000"


def test_hugging_face(address: str) -> None:
    def classify(key: str, model: str) -> Any:
        return InferenceClient(f"{address}/models/{model}", token=key).text_classification("good")

    assert classify("mine", MINE)[0].label == "positive"
    for key, model, status in (("mine", OTHERS, 403), ("wrong", MINE, 401)):
        with pytest.raises(HfHubHTTPError) as failure:
            classify(key, model)
        assert failure.value.response.status_code == status


def test_triton(address: str) -> None:
    with triton.InferenceServerClient(address.removeprefix("http://")) as client:
        assert client.is_server_ready()
        mine = {"x-api-key": "mine"}
        assert client.get_model_metadata(MINE, headers=mine)["name"] == MINE
        assert {entry["name"] for entry in client.get_model_repository_index(headers=mine)} == {MINE}
        for model, headers, message in ((OTHERS, mine, "may not use"), (MINE, {}, "API key")):
            with pytest.raises(InferenceServerException, match=message):
                client.get_model_metadata(model, headers=headers)


def test_sagemaker(address: str) -> None:
    def invoke(key: str, name: str) -> Any:
        client = boto3.client(
            "sagemaker-runtime",
            endpoint_url=address,
            region_name="eu-central-1",
            aws_access_key_id="none",
            aws_secret_access_key="none",
            config=Config(retries={"total_max_attempts": 1}),
        )
        client.meta.events.register("before-send.*", _add_key(key))
        return json.loads(client.invoke_endpoint(EndpointName=name, Body=b'{"inputs": "good"}')["Body"].read())

    assert invoke("mine", MINE)[0][0]["label"] == "positive"
    denied = (("mine", OTHERS, "AccessDeniedException"), ("wrong", MINE, "AccessDeniedException"))
    for key, name, code in (*denied, ("slower", MINE, ""), ("slower", MINE, "ThrottlingException")):
        if not code:
            invoke(key, name)
            continue
        with pytest.raises(ClientError) as failure:
            invoke(key, name)
        assert failure.value.response["Error"]["Code"] == code


def _add_key(key: str) -> Callable[..., None]:
    def add_header(request: Any, **_: Any) -> None:
        request.headers["x-api-key"] = key

    return add_header
