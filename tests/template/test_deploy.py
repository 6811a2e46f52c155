"""The template, deployed and used: requests, uploads, duplicates, poison, and what a role may not do."""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from botocore.exceptions import ClientError
from PIL import Image

from tests.artifacts import make_image_artifact, make_text_artifact
from tests.template.local_stack import Aws, Stack, deploy
from tests.template.stack import ROOT

T = TypeVar("T")
MODELS = {
    "sentiment-en": make_text_artifact,
    "sentiment-zh": make_text_artifact,
    "resnet20-cifar10": make_image_artifact,
}


@pytest.fixture(scope="module")
def stack(aws: Aws, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    deployed = deploy(aws)
    publish(deployed, tmp_path_factory.mktemp("store"))
    return deployed


def publish(stack: Stack, store: Path) -> None:
    """Small models into the artifact bucket, each with version 1 as `prod`."""
    s3, bucket = stack.aws.client("s3"), stack.outputs["ArtifactBucketName"]
    for model, make in MODELS.items():
        make(store, model, "1")
    shutil.copytree(ROOT / "export/zoo/gpt-shakespeare", store / "gpt-shakespeare")
    for path in sorted(path for path in store.rglob("*") if path.is_file()):
        s3.put_object(Bucket=bucket, Key=f"models/{path.relative_to(store)}", Body=path.read_bytes())
    for model in MODELS:
        aliases = b'{"prod": {"version": "1"}}'
        s3.put_object(Bucket=bucket, Key=f"models/{model}/aliases.json", Body=aliases)


def picture(colour: str = "red") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(data, "PNG")
    return data.getvalue()


def eventually(get: Callable[[], T | None], seconds: float = 60) -> T:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (found := get()) is not None:
            return found
        time.sleep(0.2)
    raise TimeoutError(f"nothing after {seconds} s")


def result(stack: Stack, key: str) -> dict[str, Any] | None:
    try:
        found = stack.aws.client("s3").get_object(Bucket=stack.outputs["ResultBucketName"], Key=f"results/{key}.json")
    except ClientError:
        return None
    return json.loads(found["Body"].read())


def test_a_request_with_the_key_is_answered(stack: Stack) -> None:
    status, body = stack.call("POST", "/models/sentiment-en", b'{"inputs": "a wonderful film"}')
    assert status == 200, body
    assert json.loads(body)[0][0]["label"] == "positive"


def test_a_stream_is_answered_whole_where_nothing_streams(stack: Stack) -> None:
    asked = {"model": "gpt-shakespeare", "prompt": "ROMEO:", "max_tokens": 3, "stream": True}
    status, body = stack.call("POST", "/v1/completions", json.dumps(asked).encode())
    assert status == 200, body
    assert body.rstrip().splitlines()[-1].startswith(b": server-timing")
    assert b"data: [DONE]" in body


@pytest.mark.parametrize("path", ["/models", "/models/sentiment-en", "/v2/health/ready"])
def test_a_request_without_the_key_is_refused(stack: Stack, path: str) -> None:
    assert stack.call("GET", path, key="")[0] == 403


@pytest.mark.parametrize("path", ["/v2/health/live", "/openapi.json", "/docs", "/", "/page/any/main.js"])
def test_open_paths_need_no_key(stack: Stack, path: str) -> None:
    assert stack.call("GET", path, key="")[0] == 200


def test_the_catalog_lists_the_models(stack: Stack) -> None:
    status, body = stack.call("GET", "/models")
    assert status == 200, body
    assert {model["name"] for model in json.loads(body)["models"]} == {*MODELS, "gpt-shakespeare"}


def test_a_picture_arrives_unharmed(stack: Stack) -> None:
    status, body = stack.call("POST", "/models/resnet20-cifar10", picture(), kind="image/png")
    assert status == 200, body
    assert json.loads(body)[0]["score"] > 0


def test_a_version_can_be_asked_for(stack: Stack) -> None:
    status, body = stack.call("POST", "/pipeline/text-classification/sentiment-en@1", b'{"inputs": "awful"}')
    assert status == 200, body
    assert json.loads(body)[0][0]["label"] == "negative"


def test_an_uploaded_picture_becomes_a_result(stack: Stack) -> None:
    key = "uploads/resnet20-cifar10/a picture + é.png"
    stack.aws.client("s3").put_object(Bucket=stack.outputs["UploadBucketName"], Key=key, Body=picture())
    found = eventually(lambda: result(stack, key))
    assert found["model"] == "resnet20-cifar10"
    assert found["output"]


def test_a_duplicate_event_writes_one_result(stack: Stack) -> None:
    s3, key = stack.aws.client("s3"), "uploads/sentiment-en/twice.txt"
    s3.put_object(Bucket=stack.outputs["UploadBucketName"], Key=key, Body=b"a wonderful film")
    first = eventually(lambda: result(stack, key))
    detail = {
        "bucket": {"name": stack.outputs["UploadBucketName"]},
        "object": {"key": key, "size": 16, "etag": first["input"]["etag"], "sequencer": first["input"]["sequencer"]},
    }
    message = {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}
    sqs, queue = stack.aws.client("sqs"), stack.resources["TextClassificationQueue"]
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(message))
    eventually(lambda: True if waiting(stack, "TextClassificationQueue") == 0 else None)
    versions = s3.list_object_versions(Bucket=stack.outputs["ResultBucketName"], Prefix=f"results/{key}.json")
    assert len(versions["Versions"]) == 1


def waiting(stack: Stack, queue: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = stack.aws.client("sqs").get_queue_attributes(QueueUrl=stack.resources[queue], AttributeNames=names)
    return sum(int(found["Attributes"][name]) for name in names)


def test_poison_ends_among_the_dead_letters_and_harms_no_neighbour(stack: Stack) -> None:
    sqs, s3 = stack.aws.client("sqs"), stack.aws.client("s3")
    queue, letters = (stack.resources[f"ImageClassification{kind}"] for kind in ("Queue", "DeadLetters"))
    # Three attempts at 180 s each would be too long to wait for.
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "1"})
    keys = [f"uploads/resnet20-cifar10/batch-{number}.png" for number in range(4)]
    for number, key in enumerate(keys):
        body = b"no picture" if number == 1 else picture("blue")
        s3.put_object(Bucket=stack.outputs["UploadBucketName"], Key=key, Body=body)
    for number in (0, 2, 3):
        assert eventually(lambda number=number: result(stack, keys[number]))
    dead = eventually(lambda: sqs.receive_message(QueueUrl=letters).get("Messages"), 90)
    assert keys[1] in dead[0]["Body"]
    assert result(stack, keys[1]) is None


def test_a_role_is_refused_what_is_not_its_own(stack: Stack) -> None:
    session = stack.aws.client("sts").assume_role(
        RoleArn=f"arn:aws:iam::000000000000:role/{stack.resources['TextClassificationRole']}", RoleSessionName="test"
    )["Credentials"]
    s3 = stack.aws.client(
        "s3",
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
        region_name="us-east-1",
    )
    artifacts, results = stack.outputs["ArtifactBucketName"], stack.outputs["ResultBucketName"]
    assert s3.get_object(Bucket=artifacts, Key="models/sentiment-en/aliases.json")
    refused: list[Callable[[], object]] = [
        lambda: s3.get_object(Bucket=artifacts, Key="models/resnet20-cifar10/aliases.json"),
        lambda: s3.put_object(Bucket=artifacts, Key="models/sentiment-en/aliases.json", Body=b"{}"),
        lambda: s3.put_object(Bucket=results, Key="elsewhere/x.json", Body=b"{}"),
        lambda: s3.get_object(Bucket=stack.outputs["UploadBucketName"], Key="uploads/resnet20-cifar10/x.png"),
        lambda: s3.list_buckets(),
    ]
    for attempt in refused:
        with pytest.raises(ClientError, match="AccessDenied"):
            attempt()
