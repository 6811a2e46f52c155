"""boto3's `sagemaker-runtime` client, through the local server and through the handler. One test per case."""

from __future__ import annotations

import json
from typing import Any

import boto3
import httpx2
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support import ROOT

SHIP = ROOT / "functions/catalog/page/ship.jpg"
TEXT = json.dumps({"inputs": "A wonderful film."})


@pytest.fixture(scope="module")
def client(server: str) -> Any:
    return boto3.client(
        "sagemaker-runtime",
        endpoint_url=server,
        region_name="eu-central-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=Config(retries={"total_max_attempts": 1}),
    )


def invoke(client: Any, name: str, body: str | bytes, **options: str) -> Any:
    response = client.invoke_endpoint(EndpointName=name, Body=body, **{"ContentType": "application/json", **options})
    return json.loads(response["Body"].read())


def test_a_text(client: Any) -> None:
    assert invoke(client, "sentiment-en", TEXT)[0][0]["label"] == "positive"


def test_a_picture(client: Any) -> None:
    assert invoke(client, "resnet20-cifar10", SHIP.read_bytes(), ContentType="image/jpeg")[0]["label"] == "ship"


def test_target_model_and_variant(client: Any) -> None:
    parameters = {"EndpointName": "any", "Body": TEXT, "ContentType": "application/json", "TargetModel": "sentiment-en"}
    response = client.invoke_endpoint(**parameters, TargetVariant="prod")
    assert json.loads(response["Body"].read())[0][0]["label"] == "positive"
    assert response["InvokedProductionVariant"] == "1"
    assert response["ContentType"].startswith("application/json")


@pytest.mark.parametrize(
    ("name", "body", "status", "message"),
    [
        ("none", TEXT, 404, "no model none"),
        ("sentiment-en", "{", 400, "valid JSON"),
        ("sentiment-en", '{"inputs": 5}', 400, "inputs"),
    ],
    ids=["unknown model", "malformed", "invalid"],
)
def test_errors_are_typed(client: Any, name: str, body: str, status: int, message: str) -> None:
    with pytest.raises(ClientError) as failure:
        invoke(client, name, body)
    assert failure.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert failure.value.response["Error"]["Code"] == "ValidationError"
    assert message in failure.value.response["Error"]["Message"]


def test_an_unknown_route_has_the_same_error(client: Any) -> None:
    with pytest.raises(ClientError) as failure:
        client.invoke_endpoint_async(EndpointName="sentiment-en", InputLocation="s3://bucket/key")
    assert failure.value.response["Error"]["Code"] == "ValidationError"


def test_a_container_responds_to_ping_and_invocations(server: str) -> None:
    assert httpx2.get(f"{server}/ping").status_code == 200
    headers = {"X-Amzn-SageMaker-Target-Model": "sentiment-en"}
    assert httpx2.post(f"{server}/invocations", content=TEXT, headers=headers).json()[0][0]["label"] == "positive"
    ambiguous = httpx2.post(f"{server}/invocations", content=TEXT)
    assert ambiguous.status_code == 400
    assert "Target-Model" in ambiguous.json()["message"]
