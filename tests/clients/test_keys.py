"""API keys as the official clients send them, and their own exceptions for who has none or asks too often."""

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
from tests.clients.conftest import through

MINE, OTHERS = "sentiment-en", "resnet20-cifar10"


@pytest.fixture(params=["local", "rest-v1"])
def address(request: pytest.FixtureRequest, serving: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of a server of two models, of which the key `mine` may ask for one; `slow` may ask once a second."""
    entries = [
        {"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), "models": [MINE]} | more
        for name, more in (("mine", {}), ("slow", {"rate": 1}), ("slower", {"rate": 0.001}))
    ]
    monkeypatch.setenv("HEARTH_API_KEYS", json.dumps(entries))
    settings.get.cache_clear()
    api_keys._read_table.cache_clear()
    with through(request.param) as address:
        yield address


def test_openai(address: str) -> None:
    def client(key: str, **more: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{address}/v1", api_key=key, **more)

    with client("mine") as mine:
        assert [model.id for model in mine.models.list()] == [MINE]
        with pytest.raises(openai.PermissionDeniedError, match="may not use"):
            mine.embeddings.create(model=OTHERS, input="a")
    with client("wrong") as wrong, pytest.raises(openai.AuthenticationError) as refused:
        wrong.models.list()
    assert refused.value.code == "invalid_api_key"
    with client("slow") as patient:  # it waits as long as it is told, and asks again
        assert [[model.id for model in patient.models.list()] for _ in range(2)] == [[MINE]] * 2
    with client("slower", max_retries=0) as slower:
        slower.models.list()
        with pytest.raises(openai.RateLimitError) as refused:
            slower.models.list()
    assert refused.value.code == "rate_limit_exceeded"
    assert refused.value.response.headers["retry-after"] == "1000"


def test_hugging_face(address: str) -> None:
    def ask(key: str, model: str) -> Any:
        return InferenceClient(f"{address}/models/{model}", token=key).text_classification("good")

    assert ask("mine", MINE)[0].label == "positive"
    for key, model, status in (("mine", OTHERS, 403), ("wrong", MINE, 401)):
        with pytest.raises(HfHubHTTPError) as refused:
            ask(key, model)
        assert refused.value.response.status_code == status


def test_triton(address: str) -> None:
    with triton.InferenceServerClient(address.removeprefix("http://")) as client:
        assert client.is_server_ready()
        mine = {"x-api-key": "mine"}
        assert client.get_model_metadata(MINE, headers=mine)["name"] == MINE
        assert {entry["name"] for entry in client.get_model_repository_index(headers=mine)} == {MINE}
        for model, headers, words in ((OTHERS, mine, "may not use"), (MINE, {}, "API key")):
            with pytest.raises(InferenceServerException, match=words):
                client.get_model_metadata(model, headers=headers)


def test_sagemaker(address: str) -> None:
    def ask(key: str, name: str) -> Any:
        client = boto3.client(
            "sagemaker-runtime",
            endpoint_url=address,
            region_name="eu-central-1",
            aws_access_key_id="none",
            aws_secret_access_key="none",
            config=Config(retries={"total_max_attempts": 1}),
        )
        client.meta.events.register("before-send.*", _with(key))
        return json.loads(client.invoke_endpoint(EndpointName=name, Body=b'{"inputs": "good"}')["Body"].read())

    assert ask("mine", MINE)[0][0]["label"] == "positive"
    asked = (("mine", OTHERS, "AccessDeniedException"), ("wrong", MINE, "AccessDeniedException"))
    for key, name, code in (*asked, ("slower", MINE, ""), ("slower", MINE, "ThrottlingException")):
        if not code:
            ask(key, name)
            continue
        with pytest.raises(ClientError) as refused:
            ask(key, name)
        assert refused.value.response["Error"]["Code"] == code


def _with(key: str) -> Callable[..., None]:
    def add(request: Any, **_: Any) -> None:
        request.headers["x-api-key"] = key

    return add
