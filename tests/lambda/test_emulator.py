"""The handlers under the real runtime client and Lambda's emulator."""

from __future__ import annotations

import io
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.artifacts import make_text_artifact
from tests.support.emulator import Emulator
from tests.support.requests import http_event, rest_event
from tests.support.s3 import folder_s3

TEXT_MODEL, IMAGE_MODEL = "sentiment-en", "resnet20-cifar10"
PRAISE = json.dumps({"inputs": "I love this great movie"})
MEGABYTE = 1024 * 1024
Event = Callable[..., dict[str, Any]]


def picture(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (48, 40), colour).save(file, "PNG")
    return file.getvalue()


def first_label(body: Any) -> str:
    """The first label of a response to one input; the scores of a text are in a nested list."""
    scores = body[0] if isinstance(body[0], list) else body
    return str(scores[0]["label"])


def upload_event(key: str, etag: str) -> dict[str, Any]:
    """An S3 notification; the key must be URL-encoded, as S3 does it."""
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": "us-east-1",
                "eventTime": "2026-11-24T08:00:00.000Z",
                "eventName": "ObjectCreated:Put",
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "bucket": {"name": "uploads", "arn": "arn:aws:s3:::uploads"},
                    "object": {"key": key, "size": 1, "eTag": etag, "sequencer": "0A"},
                },
            }
        ]
    }


def queue_event(*bodies: dict[str, Any] | str) -> dict[str, Any]:
    """An SQS batch whose messages have the ids m0, m1, …"""
    return {
        "Records": [
            {
                "messageId": f"m{index}",
                "receiptHandle": "handle",
                "body": body if isinstance(body, str) else json.dumps(body),
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:uploads",
                "awsRegion": "us-east-1",
            }
            for index, body in enumerate(bodies)
        ]
    }


@pytest.mark.parametrize("event", [rest_event, http_event], ids=["rest", "http"])
def test_a_text_is_classified_cold_and_warm(environment: dict[str, str], event: Event) -> None:
    with Emulator.of("text_classification", environment | {"HEARTH_MODELS": TEXT_MODEL}) as emulator:
        responses = [emulator.invoke(event("POST", f"/models/{TEXT_MODEL}", PRAISE)) for _ in range(2)]
        assert [response.payload["statusCode"] for response in responses] == [200, 200]
        assert [first_label(response.body) for response in responses] == ["positive", "positive"]
        assert [record["cold"] for record in emulator.records("request")] == [True, False]


@pytest.mark.parametrize("event", [rest_event, http_event], ids=["rest", "http"])
def test_a_picture_arrives_unchanged(image: Emulator, event: Event) -> None:
    response = image.invoke(event("POST", f"/models/{IMAGE_MODEL}", picture("blue"), {"content-type": "image/png"}))
    assert response.payload["statusCode"] == 200, response.raw
    assert first_label(response.body) == "blue"


def test_the_log_line_has_milliseconds_and_no_payload(text: Emulator) -> None:
    secret = "zanzibar"
    text.invoke(rest_event("POST", f"/models/{TEXT_MODEL}", json.dumps({"inputs": f"good {secret}"})))
    record = text.records("request")[-1]
    assert record["model"] == TEXT_MODEL
    assert record["version"] == "1"
    steps = record["ms"]
    assert isinstance(steps, dict)
    assert {"encode", "run", "decode"} <= set(steps)
    assert all(milliseconds >= 0 for milliseconds in steps.values())
    assert secret not in text.log


def test_metrics_are_in_the_embedded_format(text: Emulator) -> None:
    text.invoke(rest_event("POST", f"/models/{TEXT_MODEL}", PRAISE))
    metrics = [record for record in text.records() if "_aws" in record]
    assert metrics, text.log
    declared = metrics[-1]["_aws"]["CloudWatchMetrics"][0]  # type: ignore[index]
    assert all(metric["Name"] in metrics[-1] for metric in declared["Metrics"])


def test_malformed_base64_is_400(text: Emulator) -> None:
    event = rest_event("POST", f"/models/{TEXT_MODEL}", "not base64!") | {"isBase64Encoded": True}
    response = text.invoke(event)
    assert response.payload["statusCode"] == 400, response.raw


@pytest.mark.parametrize("event", [{}, {"hello": 1}, [1], "text", None], ids=repr)
def test_an_unknown_event_gets_a_response_without_traceback(text: Emulator, event: object) -> None:
    response = text.invoke(event)
    assert response.status == 200
    assert b"stackTrace" not in response.raw
    assert b"Traceback" not in response.raw


def test_a_body_that_is_too_large_is_413(text: Emulator) -> None:
    body = json.dumps({"inputs": "good " * (5 * MEGABYTE // 5)})
    response = text.invoke(rest_event("POST", f"/models/{TEXT_MODEL}", body))
    assert response.payload["statusCode"] == 413, response.raw[:200]


def test_a_response_that_is_too_large_is_413(tmp_path: Path) -> None:
    labels = [f"{index:0125d}" for index in range(2000)]
    make_text_artifact(tmp_path, "wide", labels=labels)
    environment = {"HEARTH_STORE": tmp_path.as_uri(), "HEARTH_MODELS": "wide"}
    with Emulator.of("text_classification", environment) as emulator:
        event = rest_event("POST", "/models/wide", json.dumps({"inputs": ["good"] * 32}))
        response = emulator.invoke(event)
        assert response.status == 200, response.raw[:200]
        assert response.payload["statusCode"] == 413
        assert "request less" in str(response.body["error"])
        small = rest_event("POST", "/models/wide", json.dumps({"inputs": "good"}))
        assert emulator.invoke(small).payload["statusCode"] == 200


def test_an_upload_becomes_one_result(image: Emulator, s3: Any) -> None:
    key = f"uploads/{IMAGE_MODEL}/a b+ü.png"
    stored = s3.put_object(Bucket="uploads", Key=key, Body=picture("red"))
    event = upload_event(f"uploads/{IMAGE_MODEL}/a+b%2B%C3%BC.png", stored["ETag"].strip('"'))
    for _ in range(2):
        image.invoke(event)
    results = s3.list_objects_v2(Bucket="results")["Contents"]
    assert [item["Key"] for item in results if "a b+ü" in item["Key"]] == [f"answers/{key}.json"]
    assert "red" in s3.get_object(Bucket="results", Key=f"answers/{key}.json")["Body"].read().decode()


def test_a_poisoned_message_fails_alone(image: Emulator, s3: Any) -> None:
    key = f"uploads/{IMAGE_MODEL}/good.png"
    stored = s3.put_object(Bucket="uploads", Key=key, Body=picture("green"))
    response = image.invoke(queue_event("not json", upload_event(key, stored["ETag"].strip('"'))))
    assert response.payload == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert "green" in s3.get_object(Bucket="results", Key=f"answers/{key}.json")["Body"].read().decode()


@pytest.fixture
def slow_store(tmp_path: Path) -> Any:
    """A store with one model of 8 MB, whose download is slow until the rate limit is removed."""
    make_text_artifact(tmp_path / "artifacts", TEXT_MODEL, filler=8 * MEGABYTE)
    with folder_s3(tmp_path) as server:
        server.rate = 0.5 * MEGABYTE
        yield server


def test_the_call_after_a_timeout_succeeds(slow_store: Any) -> None:
    environment = {
        "AWS_ENDPOINT_URL": slow_store.url,
        "HEARTH_STORE": "s3://artifacts",
        "HEARTH_MODELS": TEXT_MODEL,
    }
    with Emulator.of("text_classification", environment, timeout_s=4) as emulator:
        event = rest_event("POST", f"/models/{TEXT_MODEL}", PRAISE)
        emulator.invoke(event)  # either the emulator kills it or our deadline ends it: both are allowed
        slow_store.rate = None
        response = emulator.invoke(event)
        assert response.payload["statusCode"] == 200, response.raw
        assert first_label(response.body) == "positive"


def test_the_start_after_a_kill_during_a_download_succeeds(slow_store: Any) -> None:
    environment = {
        "AWS_ENDPOINT_URL": slow_store.url,
        "HEARTH_STORE": "s3://artifacts",
        "HEARTH_MODELS": TEXT_MODEL,
    }
    with Emulator.of("text_classification", environment) as emulator:
        event = rest_event("POST", f"/models/{TEXT_MODEL}", PRAISE)
        first = threading.Thread(target=emulator.invoke, args=(event,))
        first.start()
        deadline = time.monotonic() + 20
        while slow_store.sent < MEGABYTE and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(emulator.runtime_pid(), signal.SIGKILL)
        first.join()
        slow_store.rate = None
        response = emulator.invoke(event)
        if "statusCode" not in response.payload:  # the download begins during initialization: the kill ended the start,
            response = emulator.invoke(event)  # which the emulator reports to the next caller
        assert response.payload["statusCode"] == 200, response.raw
        files = [path for path in emulator.scratch.rglob("model.bin") if path.is_file()]
        assert len(files) == 1, "partial files of the killed process remain"
