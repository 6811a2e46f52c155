"""The deployed template: requests, uploads, duplicate events, poison messages, dead letters and API keys."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from botocore.exceptions import ClientError
from PIL import Image

from tests.events import event
from tests.template.conftest import MODELS
from tests.template.local_stack import Stack

T = TypeVar("T")


def picture(colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(file, "PNG")
    return file.getvalue()


def eventually(get: Callable[[], T | None], seconds: float = 60) -> T:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (value := get()) is not None:
            return value
        time.sleep(0.2)
    raise TimeoutError(f"nothing after {seconds} s")


def result(stack: Stack, key: str) -> dict[str, Any] | None:
    try:
        response = stack.aws.client("s3").get_object(
            Bucket=stack.outputs["ResultBucketName"], Key=f"results/{key}.json"
        )
    except ClientError:
        return None
    return json.loads(response["Body"].read())


def test_a_request_with_the_key_succeeds(stack: Stack) -> None:
    status, body = stack.call("POST", "/models/sentiment-en", b'{"inputs": "a wonderful film"}')
    assert status == 200, body
    assert json.loads(body)[0][0]["label"] == "positive"


def test_a_stream_is_buffered_where_streaming_is_not_supported(stack: Stack) -> None:
    parameters = {"model": "gpt-shakespeare", "prompt": "ROMEO:", "max_tokens": 3, "stream": True}
    status, body = stack.call("POST", "/v1/completions", json.dumps(parameters).encode())
    assert status == 200, body
    assert body.rstrip().splitlines()[-1].startswith(b": server-timing")
    assert b"data: [DONE]" in body


@pytest.mark.parametrize("path", ["/models", "/models/sentiment-en", "/v2/health/ready"])
def test_a_request_without_the_key_is_refused(stack: Stack, path: str) -> None:
    assert stack.call("GET", path, key="")[0] == 401


@pytest.mark.parametrize("path", ["/v2/health/live", "/openapi.json", "/docs", "/", "/page/any/main.js"])
def test_open_paths_need_no_key(stack: Stack, path: str) -> None:
    assert stack.call("GET", path, key="")[0] == 200


def test_the_catalog_lists_the_models(stack: Stack) -> None:
    status, body = stack.call("GET", "/models")
    assert status == 200, body
    assert {model["name"] for model in json.loads(body)["models"]} == {*MODELS, "gpt-shakespeare"}


def test_a_picture_arrives_unchanged(stack: Stack) -> None:
    status, body = stack.call("POST", "/models/resnet20-cifar10", picture(), content_type="image/png")
    assert status == 200, body
    assert json.loads(body)[0]["score"] > 0


def test_a_version_can_be_requested(stack: Stack) -> None:
    status, body = stack.call("POST", "/pipeline/text-classification/sentiment-en@1", b'{"inputs": "awful"}')
    assert status == 200, body
    assert json.loads(body)[0][0]["label"] == "negative"


def test_an_uploaded_picture_becomes_a_result(stack: Stack) -> None:
    key = "uploads/resnet20-cifar10/a picture + é.png"
    stack.aws.client("s3").put_object(Bucket=stack.outputs["UploadBucketName"], Key=key, Body=picture())
    written = eventually(lambda: result(stack, key))
    assert written["model"] == "resnet20-cifar10"
    assert written["output"]


def test_a_duplicate_event_writes_one_result(stack: Stack) -> None:
    s3, key = stack.aws.client("s3"), "uploads/sentiment-en/twice.txt"
    s3.put_object(Bucket=stack.outputs["UploadBucketName"], Key=key, Body=b"a wonderful film")
    first = eventually(lambda: result(stack, key))
    detail = {
        "bucket": {"name": stack.outputs["UploadBucketName"]},
        "object": {"key": key, "size": 16, "etag": first["input"]["etag"], "sequencer": first["input"]["sequencer"]},
    }
    message = {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}
    sqs, queue = stack.aws.client("sqs"), stack.resources["Queue"]
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(message))
    eventually(lambda: True if messages_in_queue(stack) == 0 else None)
    versions = s3.list_object_versions(Bucket=stack.outputs["ResultBucketName"], Prefix=f"results/{key}.json")
    assert len(versions["Versions"]) == 1


def messages_in_queue(stack: Stack) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    response = stack.aws.client("sqs").get_queue_attributes(QueueUrl=stack.resources["Queue"], AttributeNames=names)
    return sum(int(response["Attributes"][name]) for name in names)


def test_a_poison_message_becomes_a_dead_letter_and_its_neighbours_succeed(stack: Stack) -> None:
    s3 = stack.aws.client("s3")
    keys = [f"uploads/resnet20-cifar10/batch-{number}.png" for number in range(4)]
    for number, key in enumerate(keys):
        body = b"no picture" if number == 1 else picture("blue")
        s3.put_object(Bucket=stack.outputs["UploadBucketName"], Key=key, Body=body)
    for number in (0, 2, 3):
        assert eventually(lambda number=number: result(stack, keys[number]))
    letter = dead_letter(stack, keys[1])
    assert letter == ("unsupported_media", "The model does not support this kind of object")
    assert result(stack, keys[1]) is None


def dead_letter(stack: Stack, text: str) -> tuple[str, str]:
    """Error type and reason of the dead letter whose body contains `text`."""
    # Messages that SQS moves itself have no such attributes: the function set these.
    attributes = dead_message(stack, text)["MessageAttributes"]
    return attributes["error_type"]["StringValue"], attributes["reason"]["StringValue"]


def dead_message(stack: Stack, text: str) -> dict[str, Any]:
    """The dead letter whose body contains `text`."""
    sqs, queue_url = stack.aws.client("sqs"), stack.resources["DeadLetters"]

    def receive() -> dict[str, Any] | None:
        response = sqs.receive_message(QueueUrl=queue_url, MessageAttributeNames=["All"], MaxNumberOfMessages=10)
        return next((message for message in response.get("Messages", ()) if text in message["Body"]), None)

    return eventually(receive, 90)


def test_a_redriven_dead_letter_succeeds_after_its_cause_is_fixed(stack: Stack) -> None:
    s3, sqs = stack.aws.client("s3"), stack.aws.client("sqs")
    aliases = {"Bucket": stack.outputs["ArtifactBucketName"], "Key": "models/sentiment-zh/aliases.json"}
    valid_aliases = s3.get_object(**aliases)["Body"].read()
    s3.put_object(**aliases, Body=b'{"prod": {"version": "77"}}')
    key = "uploads/sentiment-zh/redriven.txt"
    s3.put_object(Bucket=stack.outputs["UploadBucketName"], Key=key, Body="很好".encode())
    try:
        letter = dead_message(stack, key)
    finally:
        s3.put_object(**aliases, Body=valid_aliases)
    assert letter["MessageAttributes"]["error_type"]["StringValue"] == "not_found"
    # This is what `aws sqs start-message-move-task` does, which ministack lacks.
    sqs.send_message(
        QueueUrl=stack.resources["Queue"],
        MessageBody=letter["Body"],
        MessageAttributes=letter["MessageAttributes"],
    )
    assert eventually(lambda: result(stack, key))["model"] == "sentiment-zh"


@pytest.mark.parametrize(
    ("message", "error_type", "reason"),
    [
        (
            "uploads/resnet20-cifar10/gone.png",
            "not_found",
            "There is no such model here, or the object no longer exists",
        ),
        (
            "no storage event",
            "bad_request",
            "The object is not a valid input of the model, or the message is not a storage event",
        ),
    ],
)
def test_a_dead_letter_has_error_type_and_reason(stack: Stack, message: str, error_type: str, reason: str) -> None:
    body = message
    if message.startswith("uploads/"):
        bucket = stack.outputs["UploadBucketName"]
        body = json.dumps(event("eventbridge-object-created", bucket=bucket, key=message, version_id="null"))
    stack.aws.client("sqs").send_message(QueueUrl=stack.resources["Queue"], MessageBody=body)
    assert dead_letter(stack, message) == (error_type, reason)


@pytest.fixture
def limited_key(stack: Stack) -> str:
    """An API key with its own usage plan: one request per second, bursts of two, four per day."""
    gateway = stack.aws.client("apigateway")
    plan = gateway.create_usage_plan(
        name="narrow",
        apiStages=[{"apiId": stack.resources["Api"], "stage": "prod"}],
        throttle={"rateLimit": 1, "burstLimit": 2},
        quota={"limit": 4, "period": "DAY"},
    )
    key = gateway.create_api_key(name="narrow", enabled=True)
    gateway.create_usage_plan_key(usagePlanId=plan["id"], keyId=key["id"], keyType="API_KEY")
    return str(key["value"])


def test_a_key_is_throttled_then_out_of_quota_without_affecting_others(stack: Stack, limited_key: str) -> None:
    responses = [stack.call("GET", "/models/sentiment-en", key=limited_key) for _ in range(4)]
    assert [status for status, _ in responses[:2]] == [200, 200]
    throttled = next(body for status, body in responses if status == 429)
    assert json.loads(throttled)["error_type"] == "throttled"
    assert stack.call("GET", "/models/sentiment-en")[0] == 200

    def out_of_quota() -> bool | None:
        status, body = stack.call("GET", "/models/sentiment-en", key=limited_key)
        return (status == 429 and json.loads(body)["error_type"] == "quota_exceeded") or None

    assert eventually(out_of_quota, 15)
    assert stack.call("GET", "/models/sentiment-en")[0] == 200


def test_the_stack_has_its_own_plan(stack: Stack) -> None:
    plan = stack.aws.client("apigateway").get_usage_plan(usagePlanId=stack.resources["ApiUsagePlan"])
    assert plan["throttle"] == {"rateLimit": 50, "burstLimit": 100}
    assert plan["quota"] == {"limit": 100_000, "period": "DAY"}
