"""EventBridge's JSON protocol, with scripted responses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hearth.aws import events, retry
from hearth.errors import StoreError
from tests.support.s3 import CREDENTIALS
from tests.support.servers import http_responses, scripted_server

DONE = (200, b'{"FailedEntryCount": 0}')


@pytest.fixture(autouse=True)
def patch(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    yield monkeypatch
    events._endpoint.cache_clear()


@contextmanager
def bus(patch: pytest.MonkeyPatch, *answers: tuple[int, bytes]) -> Iterator[list[bytes]]:
    """EventBridge gives these responses, one a connection; yield the requests that it received."""
    with scripted_server(*http_responses(*answers)) as (address, received):
        patch.setenv("AWS_ENDPOINT_URL_EVENTS", address)
        events._endpoint.cache_clear()
        yield received


def test_an_event_is_one_signed_entry(patch: pytest.MonkeyPatch) -> None:
    with bus(patch, DONE) as received:
        events.put_event("results", "hearth", "Result", {"key": "ü"})
    head, _, body = received[0].partition(b"\r\n\r\n")
    assert b"x-amz-target: AWSEvents.PutEvents" in head
    assert b"/us-east-1/events/aws4_request" in head
    (entry,) = json.loads(body)["Entries"]
    assert json.loads(entry.pop("Detail")) == {"key": "ü"}
    assert entry == {"EventBusName": "results", "Source": "hearth", "DetailType": "Result"}


@pytest.mark.parametrize("refusal", [(503, b""), (400, b"ThrottlingException"), (200, b'{"FailedEntryCount": 1}')])
def test_a_transient_refusal_is_tried_again(patch: pytest.MonkeyPatch, refusal: tuple[int, bytes]) -> None:
    with bus(patch, refusal, DONE) as received:
        events.put_event("results", "hearth", "Result", {})
    assert len(received) == 2


def test_a_lasting_refusal_is_a_store_error(patch: pytest.MonkeyPatch) -> None:
    message = "EventBridge returned 400 for Result on the bus results: check the role's permissions"
    with bus(patch, (400, b"AccessDenied")), pytest.raises(StoreError, match=message):
        events.put_event("results", "hearth", "Result", {})
    patch.setattr(retry, "ATTEMPTS", 1)
    with bus(patch, (200, b'{"FailedEntryCount": 1}')), pytest.raises(StoreError, match="returned 200 for Result"):
        events.put_event("results", "hearth", "Result", {})
