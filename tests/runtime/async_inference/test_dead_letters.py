"""Which messages become dead letters, with which reason, and in which order a batch is processed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hearth import settings
from hearth.async_inference import dead_letters
from hearth.async_inference.dead_letters import (
    MAX_CHARACTERS,
    REASONS,
    delete_message,
    deliveries,
    poison_safe_order,
    record_failure,
    send_to_dlq,
)
from hearth.errors import BadRequest, Forbidden, HearthError, Internal, NotFound, StoreError, Unprocessable
from tests.conftest import log_lines
from tests.support.storage import message

UPLOAD_KEY = f"uploads/m/u{'0' * 32}"
"""A key as POST /uploads creates it."""


class Queue:
    """What was sent to and deleted from the queues of this process."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, dict[str, str]]] = []
        self.deleted: list[tuple[str, str]] = []
        self.error: HearthError | None = None

    def send_message(self, queue: str, body: str, attributes: dict[str, str]) -> None:
        if self.error:
            raise self.error
        self.sent.append((queue, body, attributes))

    def delete_message(self, queue: str, receipt: str) -> None:
        if self.error:
            raise self.error
        self.deleted.append((queue, receipt))


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    monkeypatch.setenv("HEARTH_OUTPUT", f"file://{tmp_path}/out")
    monkeypatch.setenv("HEARTH_DEAD_LETTERS", "https://sqs.eu-west-1.amazonaws.com/1/dead")
    monkeypatch.setenv("HEARTH_DELIVERIES", "3")
    settings.get.cache_clear()
    fake = Queue()
    monkeypatch.setattr(dead_letters.sqs, "send_message", fake.send_message)
    monkeypatch.setattr(dead_letters.sqs, "delete_message", fake.delete_message)
    return fake


def test_an_error_of_the_sender_is_a_dead_letter_at_once(queue: Queue) -> None:
    assert send_to_dlq(message("body"), [("k", NotFound("needle"))])
    attributes = {"error_type": "not_found", "reason": REASONS["not_found"]}
    assert queue.sent == [("https://sqs.eu-west-1.amazonaws.com/1/dead", "body", attributes)]


@pytest.mark.parametrize(("count", "is_sent"), [(1, False), (2, False), (3, True), (4, True)])
def test_a_transient_error_is_one_at_the_last_delivery(queue: Queue, count: int, is_sent: bool) -> None:
    assert send_to_dlq(message("body", deliveries=count), [("k", StoreError("S3 is away"))]) is is_sent
    assert [attributes["reason"] for *_, attributes in queue.sent] == ["S3 is away"] * is_sent


def test_the_reason_of_several_objects_is_that_of_a_transient_one(queue: Queue) -> None:
    failures = [("a", NotFound("x")), ("b", StoreError("S3 is away")), ("c", StoreError("other"))]
    assert not send_to_dlq(message("body"), failures)
    assert send_to_dlq(message("body", deliveries=3), failures)
    assert queue.sent[0][2] == {
        "error_type": "store_error",
        "reason": "3 objects of the message failed; for example: S3 is away",
    }
    assert send_to_dlq(message("body"), [("a", Forbidden("x")), ("b", NotFound("y"))])
    reason = f"2 objects of the message failed; for example: {REASONS['forbidden']}"
    assert queue.sent[1][2] == {"error_type": "forbidden", "reason": reason}


def test_without_a_queue_sqs_moves_messages_itself(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_DEAD_LETTERS", "")
    settings.get.cache_clear()
    assert not send_to_dlq(message("body", deliveries=9), [("k", BadRequest("x"))])
    assert queue.sent == []


def test_a_long_or_unusual_reason_is_made_fit_for_sqs(queue: Queue) -> None:
    send_to_dlq(message("body", deliveries=3), [("k", Internal("\x00" + "x" * 2000))])
    assert queue.sent[0][2]["reason"] == "?" + "x" * (MAX_CHARACTERS - 1)


def test_a_queue_that_refuses_keeps_the_message(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    queue.error = StoreError("no such queue")
    assert not send_to_dlq(message("body", deliveries=3), [("k", BadRequest("x"))])
    (line,) = [line for line in log_lines(capsys) if line["message"] == "dead letter not sent"]
    assert line["reason"] == "no such queue"


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (Unprocessable("quotes the object"), REASONS["bad_request"]),
        (Forbidden("quotes the object"), REASONS["forbidden"]),
        (StoreError("x" * 2000), "x" * MAX_CHARACTERS),
    ],
)
def test_a_client_can_read_the_reason(queue: Queue, tmp_path: Path, failure: HearthError, reason: str) -> None:
    assert record_failure(UPLOAD_KEY, failure)
    written = json.loads((tmp_path / "out" / f"{UPLOAD_KEY}.json.failed").read_bytes())
    assert written == {"error_type": failure.code, "reason": reason}


def test_nothing_is_recorded_for_keys_that_no_client_has(queue: Queue, tmp_path: Path) -> None:
    for key in ("", "uploads/m/photo.png"):
        assert record_failure(key, NotFound("x"))
    assert not (tmp_path / "out").exists()


def test_a_failure_that_cannot_be_recorded_waits_until_the_last_delivery(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken:
        def put(self, *_: object) -> None:
            raise StoreError("disk full")

    monkeypatch.setattr(dead_letters, "open_store", lambda _: Broken())
    assert not record_failure(UPLOAD_KEY, NotFound("x"))
    (line,) = log_lines(capsys)
    assert (line["message"], line["reason"]) == ("failure not recorded", "disk full")
    failures: list[tuple[str, HearthError]] = [("", NotFound("x")), (UPLOAD_KEY, NotFound("x"))]
    assert not send_to_dlq(message("body", deliveries=2), failures)
    assert queue.sent == []
    assert send_to_dlq(message("body", deliveries=3), failures)
    assert len(queue.sent) == 1


@pytest.mark.parametrize(
    ("entry", "count"),
    [
        (message("b", deliveries=4), 4),
        ({}, 1),
        ({"attributes": None}, 1),
        ({"attributes": {"ApproximateReceiveCount": "many"}}, 1),
    ],
)
def test_deliveries_are_counted_by_sqs(entry: dict[str, Any], count: int) -> None:
    assert deliveries(entry) == count


def test_a_message_that_crashes_does_not_take_its_neighbours_along() -> None:
    def order(*counts: int) -> list[str]:
        entries = [message("b", f"m{number}", count) for number, count in enumerate(counts)]
        return [entry["messageId"] for entry in poison_safe_order(entries[::-1])]

    assert order(1, 1, 1) == ["m0", "m1", "m2"]
    assert order(2, 2, 2) == ["m2", "m1", "m0"]
    assert order(3, 3, 3) == ["m0", "m1", "m2"]
    assert order(3, 1, 2, 2, 1) == ["m1", "m4", "m3", "m2", "m0"]


def test_a_finished_message_is_deleted_from_its_queue(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    for region, domain in (("eu-west-1", "amazonaws.com"), ("cn-north-1", "amazonaws.com.cn")):
        arn = f"arn:aws:sqs:{region}:123:jobs"
        delete_message({"eventSourceARN": arn, "receiptHandle": "handle"})
        assert queue.deleted.pop() == (f"https://sqs.{region}.{domain}/123/jobs", "handle")
    queue.error = StoreError("x")
    broken: list[dict[str, Any]] = [
        {"eventSourceARN": "arn:aws:sqs:a:1:q", "receiptHandle": "h"},
        {"eventSourceARN": "arn:aws:sqs:a:1:q"},
        {"eventSourceARN": "arn", "receiptHandle": "h"},
        {"eventSourceARN": None},
        {},
    ]
    for entry in broken:
        delete_message(entry)
    assert [line["message"] for line in log_lines(capsys)] == ["message not deleted"] * len(broken)
