"""Storage events on a local S3 and SQS: one result per version, dead letters with a reason, unusual keys."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from hearth import settings
from hearth.async_inference import dead_letters
from hearth.async_inference.storage_events import EventFailedError
from hearth.aws import sqs
from hearth.aws.s3 import Bucket
from hearth.errors import StoreError
from hearth.storage.open import open_store
from hearth_functions.catalog.app import handler as uploads
from hearth_functions.text_classification import app as text
from tests.support.requests import rest_event
from tests.support.s3 import CREDENTIALS, client, moto_s3
from tests.support.storage import eventbridge_event, message, notification, sqs_event

CONTEXT = SimpleNamespace(aws_request_id="request-1")
Shape = Callable[..., dict[str, Any]]


def one_record(*args: Any, **named: Any) -> dict[str, Any]:
    return {"Records": [notification(*args, **named)]}


SHAPES = pytest.mark.parametrize("shape", [one_record, eventbridge_event], ids=["notification", "EventBridge"])


@dataclass
class Account:
    """Two buckets and a dead-letter queue of a local AWS."""

    s3: Any
    sqs: Any
    dead_letter_queue: str

    def put(self, key: str, body: bytes, shape: Shape, sequencer: str = "") -> dict[str, Any]:
        """Upload an object and return its event."""
        stored = self.s3.put_object(Bucket="inbox", Key=key, Body=body)
        return shape("inbox", key, stored["ETag"].strip('"'), len(body), sequencer, stored.get("VersionId", ""))

    def results(self) -> dict[str, int]:
        """Return how often each result was written."""
        counts: dict[str, int] = {}
        for version in self.s3.list_object_versions(Bucket="outbox").get("Versions", ()):
            counts[version["Key"]] = counts.get(version["Key"], 0) + 1
        return counts

    def label(self, key: str) -> str:
        raw = self.s3.get_object(Bucket="outbox", Key=key)["Body"].read()
        return str(json.loads(raw)["output"][0][0]["label"])

    def dead_letters(self) -> list[tuple[str, dict[str, str]]]:
        """Return body and attributes of each dead letter."""
        received = self.sqs.receive_message(
            QueueUrl=self.dead_letter_queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=0
        )
        return [
            (letter["Body"], {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()})
            for letter in received.get("Messages", ())
        ]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_s3() as address:
        yield address


@pytest.fixture
def account(url: str, serving: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    urllib.request.urlopen(f"{url}/moto-api/reset", data=b"").close()
    s3, sqs_client = client(url), client(url, "sqs")
    queue_url = sqs_client.create_queue(QueueName="letters")["QueueUrl"]
    variables = {"AWS_ENDPOINT_URL": url, "HEARTH_OUTPUT": "s3://outbox/out", "HEARTH_DEAD_LETTERS": queue_url}
    for name, value in (CREDENTIALS | variables).items():
        monkeypatch.setenv(name, value)
    settings.get.cache_clear()
    sqs._endpoint.cache_clear()
    for bucket in ("inbox", "outbox"):
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    yield Account(s3, sqs_client, queue_url)
    settings.get.cache_clear()


@SHAPES
@pytest.mark.parametrize("order", [(0, 1, 0, 1), (1, 0, 0, 1)], ids=["in order", "late"])
def test_each_version_has_one_result_and_the_key_has_the_newest(
    account: Account, shape: Shape, order: tuple[int, ...]
) -> None:
    key = "uploads/sentiment-en/a.txt"
    # A longer sequencer is not a greater one: S3 compares them as if padded with zeros on the right.
    events = [account.put(key, b"good", shape, "0AFF"), account.put(key, b"awful", shape, "0B")]
    for number in order:
        assert text.handler(sqs_event(message(events[number])), CONTEXT) == {"batchItemFailures": []}
    written = account.results()
    assert account.label(f"out/{key}.json") == "negative"
    versioned = [name for name in written if "@" in name]
    assert {account.label(name) for name in versioned} == {"positive", "negative"}
    assert all(written[name] == 1 for name in versioned)
    assert account.dead_letters() == []


KEYS = (
    *("a b", "a+b", "a%b", "a%20b", "a%2Bb", "../../x", "a/./b", "a//b", "/a", "é漢", "🙂", "\u202egpj.exe"),
    *("a?b=c&d", "a#b", "a@b", "a'\"<>b", "~", "x" * (1024 - 26 - len("out/.json@") - 36)),
)


@pytest.mark.slow
@SHAPES
def test_unusual_keys_are_read_from_both_shapes(account: Account, shape: Shape) -> None:
    for suffix in KEYS:
        key = f"uploads/sentiment-en/{suffix}"
        assert text.handler(account.put(key, b"good", shape, "01"), CONTEXT) == {}, key
        assert account.label(f"out/{key}.json") == "positive"
    assert len(account.results()) == 2 * len(KEYS)


@SHAPES
def test_a_key_too_long_for_a_result_is_a_dead_letter(account: Account, shape: Shape) -> None:
    key = "uploads/sentiment-en/".ljust(1024, "k")
    event = account.put(key, b"good", shape, "01")
    with pytest.raises(EventFailedError):
        text.handler(event, CONTEXT)
    assert text.handler(sqs_event(message(event)), CONTEXT) == {"batchItemFailures": []}
    assert account.results() == {}
    ((body, reason),) = account.dead_letters()
    assert json.loads(body) == event
    assert reason["error_type"] == "bad_request"


def test_a_poison_message_is_a_dead_letter_without_the_objects_content(account: Account) -> None:
    secret = b'{"inputs": "good", "parameters": {"needle-8812": 1}}'
    invalid = account.put("uploads/sentiment-en/b", secret, eventbridge_event, "01")
    fine = account.put("uploads/sentiment-en/a", b"good", eventbridge_event, "01")
    unknown = account.put("uploads/none/a", b"good", eventbridge_event, "01")
    nested = "[" * 100_000
    malformed = {"source": "aws.s3", "detail-type": "Object Created", "detail": {"object": {"size": 1e400}}}
    bodies = [
        invalid,
        fine,
        unknown,
        "not json",
        "5",
        nested,
        malformed,
        eventbridge_event("inbox", "uploads/\ud800/x", "", 1),
    ]
    event = sqs_event(*(message(body, f"m{number}") for number, body in enumerate(bodies)))
    assert text.handler(event, CONTEXT) == {"batchItemFailures": []}
    assert account.label("out/uploads/sentiment-en/a.json") == "positive"
    dead_letters = account.dead_letters()
    assert len(dead_letters) == len(bodies) - 1
    assert {reason["error_type"] for _, reason in dead_letters} == {"bad_request", "not_found"}
    assert "needle" not in json.dumps(dead_letters)


UPLOAD_KEY = f"uploads/sentiment-en/u{'0' * 32}"
"""A key as POST /uploads creates it."""


def test_the_result_of_a_dead_letter_is_422_with_the_reason(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_UPLOADS", "s3://inbox")
    settings.get.cache_clear()
    failing = account.put(UPLOAD_KEY, b"\xff needle", eventbridge_event, "01")
    get_result = rest_event("GET", f"/results/u{'0' * 32}.sentiment-en")
    assert uploads(get_result, CONTEXT)["statusCode"] == 202
    assert text.handler(sqs_event(message(failing)), CONTEXT) == {"batchItemFailures": []}
    ((_, reason),) = account.dead_letters()
    response = uploads(get_result, CONTEXT)
    assert response["statusCode"] == 422
    assert f"{reason['error_type']}: {reason['reason']}" in response["body"]
    assert "needle" not in response["body"]
    again = account.put(UPLOAD_KEY, b"good", eventbridge_event, "02")
    assert text.handler(sqs_event(message(again)), CONTEXT) == {"batchItemFailures": []}
    assert uploads(get_result, CONTEXT)["statusCode"] == 200, "a result replaces an older failure"
    assert uploads(rest_event("DELETE", f"/results/u{'0' * 32}.sentiment-en"), CONTEXT)["statusCode"] == 204
    assert account.results() == {}


def test_an_event_of_a_foreign_bucket_records_no_failure(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_UPLOADS", "s3://inbox")
    settings.get.cache_clear()
    event = eventbridge_event("foreign", UPLOAD_KEY, "", 4, "01")
    assert text.handler(sqs_event(message(event)), CONTEXT) == {"batchItemFailures": []}
    assert account.results() == {}
    assert account.dead_letters()[0][1]["error_type"] == "forbidden"


def test_a_failure_that_cannot_be_recorded_is_retried(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "hearth.async_inference.dead_letters.open_store", lambda uri: open_store("s3://outbox-that-is-not")
    )
    event = account.put(UPLOAD_KEY, b"\xff", eventbridge_event, "01")
    failures = {"batchItemFailures": [{"itemIdentifier": "m"}]}
    assert text.handler(sqs_event(message(event, "m")), CONTEXT) == failures
    assert account.dead_letters() == []
    assert text.handler(sqs_event(message(event, "m", 3)), CONTEXT) == {"batchItemFailures": []}
    assert len(account.dead_letters()) == 1


def test_a_temporary_error_is_retried_until_the_last_delivery(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hearth.aws.retry.time.sleep", lambda _: None)
    event = account.put("uploads/sentiment-en/a", b"good", eventbridge_event, "01")
    monkeypatch.setenv("HEARTH_OUTPUT", "s3://outbox-that-is-not/out")
    settings.get.cache_clear()
    for delivery in (1, 2):
        assert text.handler(sqs_event(message(event, "m", delivery)), CONTEXT) == {
            "batchItemFailures": [{"itemIdentifier": "m"}]
        }
    assert account.dead_letters() == []
    assert text.handler(sqs_event(message(event, "m", 3)), CONTEXT) == {"batchItemFailures": []}
    ((_, reason),) = account.dead_letters()
    assert reason["error_type"] == "store_error"
    assert "NoSuchBucket" in reason["reason"]


def test_a_message_stays_in_the_queue_if_the_dead_letter_queue_fails(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.sqs.delete_queue(QueueUrl=account.dead_letter_queue)
    assert text.handler(sqs_event(message("5", "m")), CONTEXT) == {"batchItemFailures": [{"itemIdentifier": "m"}]}
    with pytest.raises(StoreError, match="the queue returned 400 for SendMessage"):
        sqs.send_message(account.dead_letter_queue, "5", {"reason": "x"})


def test_a_failed_message_is_delivered_again_soon(account: Account) -> None:
    """The queue's own timeout, of which a message waits the rest, is six times the longest invocation."""
    queue_url = account.sqs.create_queue(QueueName="uploads", Attributes={"VisibilityTimeout": "5400"})["QueueUrl"]
    account.sqs.delete_queue(QueueUrl=account.dead_letter_queue)  # so that the message stays in its queue
    account.sqs.send_message(QueueUrl=queue_url, MessageBody="5")
    (received,) = account.sqs.receive_message(QueueUrl=queue_url)["Messages"]
    delivered = message("5", received["MessageId"]) | {
        "receiptHandle": received["ReceiptHandle"],
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:uploads",
    }
    with patch.object(dead_letters, "RETRY_SECONDS", 0):
        response = text.handler(sqs_event(delivered), CONTEXT)
    assert response == {"batchItemFailures": [{"itemIdentifier": received["MessageId"]}]}
    assert account.sqs.receive_message(QueueUrl=queue_url)["Messages"][0]["Body"] == "5"


def test_an_object_of_a_foreign_bucket_is_a_forbidden_dead_letter(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEARTH_UPLOADS", "s3://inbox")
    settings.get.cache_clear()
    account.s3.create_bucket(Bucket="foreign")
    account.s3.put_object(Bucket="foreign", Key="uploads/sentiment-en/a", Body=b"good")
    event = eventbridge_event("foreign", "uploads/sentiment-en/a", "", 4, "01")
    assert text.handler(sqs_event(message(event)), CONTEXT) == {"batchItemFailures": []}
    assert account.results() == {}
    assert account.dead_letters()[0][1]["error_type"] == "forbidden"
    assert text.handler(account.put("uploads/sentiment-en/a", b"good", eventbridge_event, "01"), CONTEXT) == {}


def test_a_prefix_that_only_starts_like_the_output_is_an_input(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEARTH_OUTPUT", "s3://inbox/up")
    settings.get.cache_clear()
    key = "uploads/sentiment-en/a"
    assert text.handler(account.put(key, b"good", eventbridge_event, "01"), CONTEXT) == {}
    assert account.s3.get_object(Bucket="inbox", Key=f"up/{key}.json")["ContentLength"] > 0


@SHAPES
@pytest.mark.parametrize("output", ["s3://inbox/uploads/sentiment-en", "s3://inbox/uploads/sentiment-en/"])
def test_a_result_below_the_upload_prefix_is_not_an_input(
    account: Account, monkeypatch: pytest.MonkeyPatch, shape: Shape, output: str
) -> None:
    """Otherwise each result would be answered by another one, for ever."""
    monkeypatch.setenv("HEARTH_OUTPUT", output)
    settings.get.cache_clear()
    assert text.handler(account.put("uploads/sentiment-en/a.json", b"good", shape, "01"), CONTEXT) == {}
    listed = account.s3.list_objects_v2(Bucket="inbox")["Contents"]
    assert [entry["Key"] for entry in listed] == ["uploads/sentiment-en/a.json"]


def test_a_wrong_clock_is_corrected_by_the_stores_date(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = Bucket("inbox")
    response = SimpleNamespace(headers={"date": "Wed, 25 Nov 2026 12:00:00 GMT"})
    now = 1795608000.0  # the same time in seconds
    for ahead, learned in ((0, False), (200, False), (3600, True), (-3600, True)):
        bucket._clock_offset = 0.0
        monkeypatch.setattr(time, "time", lambda ahead=ahead: now + ahead)
        assert bucket._correct_clock(response) is learned  # type: ignore[arg-type]
        assert time.time() + bucket._clock_offset - now == (0 if learned else ahead)
        assert not bucket._correct_clock(response)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["a\tb\n", "\x00\x1b", "\ud800\ufffe\uffff", "🙂\u202e"])
def test_characters_that_sqs_refuses_are_replaced(account: Account, text: str) -> None:
    sqs.send_message(account.dead_letter_queue, "body", {"reason": sqs.replace_refused_characters(text)})
    assert account.dead_letters()[0][1]["reason"] == sqs.replace_refused_characters(text)
