"""Storage events through SNS, and messages that are none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hearth import settings
from hearth.async_inference.storage_events import EventFailedError
from hearth_functions.text_classification import app as text
from tests.runtime.async_inference.test_storage_events import CONTEXT, SHAPES, Account, Shape, account, url
from tests.support.storage import message, sqs_event

__all__ = ["account", "url"]  # fixtures
TOPIC = "arn:aws:sns:eu-central-1:123456789012:uploads"


def notification_of(body: Any) -> dict[str, Any]:
    """Return what SNS sends to a subscriber."""
    return {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Subject": "Amazon S3 Notification",
        "Message": body if isinstance(body, str) else json.dumps(body),
        "Timestamp": "2026-01-02T12:45:07.000Z",
        "SignatureVersion": "1",
        "Signature": "EXAMPLE",
        "SigningCertURL": "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0000.pem",
        "UnsubscribeURL": "https://sns.eu-central-1.amazonaws.com/?Action=Unsubscribe",
    }


def sns_event(*bodies: Any) -> dict[str, Any]:
    """Return the event of a function that is subscribed to a topic."""
    return {
        "Records": [
            {
                "EventSource": "aws:sns",
                "EventVersion": "1.0",
                "EventSubscriptionArn": f"{TOPIC}:11111111-2222-3333-4444-555555555555",
                "Sns": notification_of(body),
            }
            for body in bodies
        ]
    }


@SHAPES
@pytest.mark.parametrize("raw", [True, False], ids=["raw delivery", "wrapped"])
def test_events_through_sns_and_sqs_are_answered(account: Account, shape: Shape, raw: bool) -> None:
    event = account.put("uploads/sentiment-en/a.txt", b"good", shape, "01")
    body = event if raw else notification_of(event)
    assert text.handler(sqs_event(message(body)), CONTEXT) == {"batchItemFailures": []}
    assert account.label("out/uploads/sentiment-en/a.txt.json") == "positive"
    assert account.dead_letters() == []


@SHAPES
def test_events_through_sns_alone_are_answered(account: Account, shape: Shape) -> None:
    events = [account.put(f"uploads/sentiment-en/{name}", b"good", shape, "01") for name in "ab"]
    assert text.handler(sns_event(*events), CONTEXT) == {}
    assert account.label("out/uploads/sentiment-en/a.json") == account.label("out/uploads/sentiment-en/b.json")


NOT_UNDERSTOOD = (
    {"hello": "world"},
    {},
    {"Records": [{"eventSource": "aws:dynamodb", "eventName": "INSERT"}]},
    {"source": "my.app", "detail-type": "Order Placed", "detail": {}},
    notification_of("a text that somebody published"),
    notification_of({"Records": [{"eventSource": "aws:kinesis"}]}),
    notification_of(notification_of({"Records": []})),
    {"Records": []},
    [],
    None,
)


def test_messages_that_are_no_storage_events_are_dead_letters_with_a_reason(account: Account) -> None:
    event = sqs_event(*(message(body, f"m{number}") for number, body in enumerate(NOT_UNDERSTOOD)))
    assert text.handler(event, CONTEXT) == {"batchItemFailures": []}
    letters = account.dead_letters()
    assert sorted(body for body, _ in letters) == sorted(json.dumps(body) for body in NOT_UNDERSTOOD)
    assert all("not a storage event" in attributes["reason"] for _, attributes in letters)


def test_a_notification_that_is_no_storage_event_is_a_dead_letter(account: Account) -> None:
    assert text.handler(sns_event("hello"), CONTEXT) == {}
    ((body, attributes),) = account.dead_letters()
    assert (body, attributes["error_type"]) == ("hello", "bad_request")


def test_without_a_dead_letter_queue_lambda_keeps_the_notification(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEARTH_DEAD_LETTERS")
    settings.get.cache_clear()
    with pytest.raises(EventFailedError):
        text.handler(sns_event("hello"), CONTEXT)


@pytest.mark.parametrize("wrap", [lambda body: body, notification_of], ids=["queue", "topic"])
def test_what_needs_no_answer_is_no_dead_letter(account: Account, wrap: Any) -> None:
    bodies = (
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "inbox"},
        {"source": "aws.s3", "detail-type": "Object Deleted", "detail": {}},
        {"Records": [{"eventSource": "aws:s3", "eventName": "ObjectRemoved:Delete", "s3": {}}]},
    )
    event = sqs_event(*(message(wrap(body), f"m{number}") for number, body in enumerate(bodies)))
    assert text.handler(event, CONTEXT) == {"batchItemFailures": []}
    assert account.dead_letters() == []


@SHAPES
@pytest.mark.parametrize("key", ["", "march/", "2026/march/", "u/"])
def test_folders_that_a_console_makes_are_not_answered(account: Account, shape: Shape, key: str) -> None:
    for body in (b"", b"good"):
        event = account.put(f"uploads/sentiment-en/{key}", body, shape, "01")
        assert text.handler(sqs_event(message(event)), CONTEXT) == {"batchItemFailures": []}
    assert account.results() == {}
    assert account.dead_letters() == []
