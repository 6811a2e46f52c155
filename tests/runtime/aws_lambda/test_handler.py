"""The Lambda handler with every kind of event; uploads and results are in a local S3 server."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote_plus

import pytest

from hearth import settings
from hearth.async_inference.storage_events import EventFailedError
from hearth.aws_lambda.handler import create_handler
from hearth.models.cache import warm_cache
from hearth_functions.catalog import app as catalog
from hearth_functions.image_classification import app as image
from hearth_functions.text_classification import app as text
from tests.support.pictures import picture
from tests.support.s3 import s3_of_this_process

CONTEXT = SimpleNamespace(aws_request_id="request-1", function_name="f", memory_limit_in_mb=512)


def rest_v1_event(path: str, body: bytes = b"", method: str = "POST", *, encoded: bool | None = None) -> dict[str, Any]:
    encoded = bool(body) if encoded is None else encoded
    return {
        "resource": path,
        "path": path,
        "httpMethod": method,
        "headers": {"host": "x"},
        "multiValueHeaders": {"host": ["x"]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": {"resourcePath": path, "httpMethod": method, "stage": "prod", "identity": {}},
        "body": (base64.b64encode(body) if encoded else body).decode(),
        "isBase64Encoded": encoded,
    }


def http_v2_event(path: str, body: bytes) -> dict[str, Any]:
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": "x"},
        "requestContext": {"http": {"method": "POST", "path": path, "sourceIp": "127.0.0.1"}, "stage": "$default"},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def alb_event(path: str, body: bytes) -> dict[str, Any]:
    return {
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:x"}},
        "httpMethod": "POST",
        "path": path,
        "queryStringParameters": {},
        "headers": {"host": "x"},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


@pytest.mark.parametrize("shape", [rest_v1_event, http_v2_event, alb_event])
def test_http_events_of_every_shape_are_handled(serving: Path, shape: Any) -> None:
    response = text.handler(shape("/models/sentiment-en", b'{"inputs": "good"}'), CONTEXT)
    assert response["statusCode"] == 200
    assert json.loads(response["body"])[0][0]["label"] == "positive"
    response = image.handler(shape("/models/resnet20-cifar10", picture()), CONTEXT)
    assert json.loads(response["body"])[0]["label"] == "red"
    response = text.handler(shape("/models/resnet20-cifar10", b'{"inputs": "good"}'), CONTEXT)
    assert response["statusCode"] == 404


def test_the_catalogue_lists_the_models(serving: Path) -> None:
    response = catalog.handler(rest_v1_event("/models", method="GET"), CONTEXT)
    assert len(json.loads(response["body"])["models"]) == 2


def test_a_malformed_base64_body_is_a_bad_request(serving: Path) -> None:
    response = text.handler(
        rest_v1_event("/models/sentiment-en", b"%%%not base64", encoded=False) | {"isBase64Encoded": True}, CONTEXT
    )
    assert response["statusCode"] == 400
    assert "base64" in json.loads(response["body"])["error"]


@pytest.mark.parametrize(
    "event",
    [
        *(None, [], "x", {}, {"what": 1}, {"requestContext": {}}, {"requestContext": 5}, {"ping": "no"}),
        *({"Records": 5}, {"Records": [1]}, {"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}]}),
    ],
)
def test_an_unknown_event_is_a_bad_request(serving: Path, event: Any) -> None:
    assert text.handler(event, CONTEXT)["error_type"] == "bad_request"


def test_a_ping_loads_the_pinned_models(serving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_MODELS", "sentiment-en")
    settings.get.cache_clear()
    assert text.handler({"ping": True}, CONTEXT) == {"pong": True, "models": {"sentiment-en": "1"}}


@pytest.fixture
def s3(serving: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with s3_of_this_process(monkeypatch, ("inbox", "results"), HEARTH_OUTPUT="s3://results/out") as s3:
        yield s3


def put(s3: Any, key: str, body: bytes, *, sequencer: str = "01", raw_key: str | None = None) -> dict[str, Any]:
    """Upload an object; return its S3 record."""
    etag = s3.put_object(Bucket="inbox", Key=key, Body=body)["ETag"].strip('"')
    s3_object = {"key": raw_key or quote_plus(key), "eTag": etag, "size": len(body), "sequencer": sequencer}
    return {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "inbox"}, "object": s3_object},
    }


def results(s3: Any) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket="results").get("Contents", ())]


def result(s3: Any, key: str) -> Any:
    return json.loads(s3.get_object(Bucket="results", Key=key)["Body"].read())


def sqs_event(*bodies: Any) -> dict[str, Any]:
    return {
        "Records": [
            {
                "eventSource": "aws:sqs",
                "messageId": f"m{index}",
                "body": body if isinstance(body, str) else json.dumps(body),
            }
            for index, body in enumerate(bodies)
        ]
    }


@pytest.mark.parametrize("key", ["a.txt", "a b+c%20.txt", "é漢.txt", "deep/er//x.txt"])
def test_an_upload_has_a_result(s3: Any, key: str) -> None:
    record = put(s3, f"uploads/sentiment-en/{key}", "我喜欢 this".encode())
    assert text.handler({"Records": [record]}, CONTEXT) == {}
    written = result(s3, f"out/uploads/sentiment-en/{key}.json")
    assert written["output"][0][0]["label"] == "positive"
    assert (written["model"], written["version"]) == ("sentiment-en", "1")


def test_eventbridge_and_sqs_carry_the_same_event(s3: Any) -> None:
    record = put(s3, "uploads/resnet20-cifar10/p.png", picture())
    s3_object = record["s3"]["object"]
    event = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {
            "bucket": {"name": "inbox"},
            "object": {**s3_object, "key": "uploads/resnet20-cifar10/p.png", "etag": s3_object["eTag"]},
        },
    }
    assert image.handler(event, CONTEXT) == {}
    assert image.handler(sqs_event(event, {"Records": [record]}), CONTEXT) == {"batchItemFailures": []}
    assert results(s3) == ["out/uploads/resnet20-cifar10/p.png.json"]


def test_a_result_is_written_once_per_version(s3: Any) -> None:
    key = "uploads/sentiment-en/a.txt"
    first = put(s3, key, b"good", sequencer="0A")
    text.handler({"Records": [first]}, CONTEXT)
    before = s3.head_object(Bucket="results", Key=f"out/{key}.json")["LastModified"], result(s3, f"out/{key}.json")
    text.handler({"Records": [first, first]}, CONTEXT)
    assert (
        s3.head_object(Bucket="results", Key=f"out/{key}.json")["LastModified"],
        result(s3, f"out/{key}.json"),
    ) == before
    second = put(s3, key, b"awful", sequencer="0B")
    text.handler({"Records": [second, first]}, CONTEXT)  # the older event arrives late
    assert result(s3, f"out/{key}.json")["output"][0][0]["label"] == "negative"


def test_a_poison_message_fails_alone(s3: Any) -> None:
    good = {"Records": [put(s3, "uploads/resnet20-cifar10/a.png", picture())]}
    broken = {"Records": [put(s3, "uploads/resnet20-cifar10/b.png", b"not a picture")]}
    unknown = {"Records": [put(s3, "uploads/none/b.png", picture())]}
    output = image.handler(sqs_event(broken, good, "not json", unknown, "5"), CONTEXT)
    assert output == {"batchItemFailures": [{"itemIdentifier": name} for name in ("m0", "m2", "m3", "m4")]}
    assert results(s3) == ["out/uploads/resnet20-cifar10/a.png.json"]
    with pytest.raises(EventFailedError):
        image.handler(broken, CONTEXT)


def test_an_object_that_is_no_input_is_ignored(s3: Any) -> None:
    records = [put(s3, "elsewhere/sentiment-en/a.txt", b"good"), put(s3, "uploads/a.txt", b"good")]
    result_record = put(s3, "x", b"")
    result_record["s3"] = {
        "bucket": {"name": "results"},
        "object": {"key": "out/uploads/sentiment-en/a.txt.json", "size": 3},
    }
    assert text.handler({"Records": [*records, result_record]}, CONTEXT) == {}
    assert text.handler({"Event": "s3:TestEvent", "Bucket": "inbox"}, CONTEXT) == {}
    assert text.handler(sqs_event({"Event": "s3:TestEvent"}), CONTEXT) == {"batchItemFailures": []}
    assert results(s3) == []


def test_without_a_store_a_request_is_500(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEARTH_STORE", raising=False)
    settings.get.cache_clear()
    warm_cache.cache_clear()
    response = create_handler(text.TASKS)(rest_v1_event("/models/sentiment-en", b'{"inputs": "good"}'), CONTEXT)
    assert response["statusCode"] == 500
    assert "HEARTH_STORE" in json.loads(response["body"])["error"]
