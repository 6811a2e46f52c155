"""SQS's JSON protocol, on moto and with scripted responses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hearth.aws import retry, sqs
from hearth.errors import StoreError
from tests.support.s3 import CREDENTIALS, client, moto_s3
from tests.support.servers import scripted_server


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"):
        monkeypatch.delenv(name, raising=False)
    sqs._endpoint.cache_clear()
    return monkeypatch


def test_a_sent_message_is_received_and_deleted() -> None:
    with moto_s3() as url:
        queue = client(url, "sqs")
        address = queue.create_queue(QueueName="dead", Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
        sqs.send_message(address, "body ü", {"reason": "because"})
        (message,) = queue.receive_message(QueueUrl=address, MessageAttributeNames=["All"])["Messages"]
        assert message["Body"] == "body ü"
        assert message["MessageAttributes"]["reason"]["StringValue"] == "because"
        sqs.delete_message(address, message["ReceiptHandle"])
        assert "Messages" not in queue.receive_message(QueueUrl=address)


@contextmanager
def responses(*answers: tuple[int, bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """The URL of a queue that gives these responses, one a connection, and the requests that it received."""
    raw = [
        [b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body)]
        for status, body in answers
    ]
    with scripted_server(*raw) as (address, received):
        yield f"{address}/123/dead", received


def test_a_message_is_sent_as_json_with_its_action() -> None:
    with responses((200, b"{}")) as (queue, received):
        sqs.send_message(queue, "text", {"a": "b"})
    head, _, body = received[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST / HTTP/1.1\r\n")
    assert b"content-type: application/x-amz-json-1.0" in head
    assert b"x-amz-target: AmazonSQS.SendMessage" in head
    assert b"/us-east-1/sqs/aws4_request" in head
    attributes = {"a": {"DataType": "String", "StringValue": "b"}}
    assert json.loads(body) == {"QueueUrl": queue, "MessageBody": "text", "MessageAttributes": attributes}


@pytest.mark.parametrize("refusal", [(503, b""), (500, b""), (400, b"RequestThrottled"), (400, b"throttling")])
def test_a_transient_refusal_is_tried_again(refusal: tuple[int, bytes]) -> None:
    with responses(refusal, (200, b"{}")) as (queue, received):
        sqs.delete_message(queue, "handle")
    assert len(received) == 2
    assert json.loads(received[1].partition(b"\r\n\r\n")[2]) == {"QueueUrl": queue, "ReceiptHandle": "handle"}


def test_a_lasting_refusal_is_a_store_error(credentials: pytest.MonkeyPatch) -> None:
    with (
        responses((400, b"AWS.SimpleQueueService.NonExistentQueue")) as (queue, _),
        pytest.raises(StoreError, match="queue returned 400 for DeleteMessage: check the role's permissions"),
    ):
        sqs.delete_message(queue, "handle")
    credentials.setattr(retry, "ATTEMPTS", 1)
    with responses((503, b"")) as (queue, _), pytest.raises(StoreError, match=r"queue returned 503 for SendMessage$"):
        sqs.send_message(queue, "x", {})


def test_an_overridden_endpoint_is_used_for_every_queue(credentials: pytest.MonkeyPatch) -> None:
    with responses((200, b"{}")) as (queue, received):
        credentials.setenv("AWS_ENDPOINT_URL_SQS", queue.removesuffix("/123/dead"))
        sqs.delete_message("https://sqs.eu-west-1.amazonaws.com/1/q", "handle")
    assert len(received) == 1


def test_refused_characters_are_replaced() -> None:
    allowed = "a\t\n\r ü\ud7ff\ue000\ufffd\U00010000\U0010ffff~"
    assert sqs.replace_refused_characters(allowed) == allowed
    assert sqs.replace_refused_characters("a\x00b\x0b\x1f\ufffe\uffff\ud800") == "a?b?????"
