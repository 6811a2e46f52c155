"""Storage events: an object put below the upload prefix becomes `<key>.json` at the output, once a version.

The law: an upload whose event arrived ends in exactly one result a version of the object (`results`), or its message
among the dead letters (`letters`). Deliveries may repeat, come late or out of order; workers may die at any point.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_plus

from hearth import settings
from hearth.async_inference import dead_letters, uploads
from hearth.async_inference.results import Created, Result, Superseded, answered, settle
from hearth.errors import BadRequest, Forbidden, HearthError, SettingsError
from hearth.storage.open import open_store
from hearth.tasks.task import Task
from hearth.telemetry import log, timing


class EventFailedError(Exception):
    """A storage event without a queue could not be answered; Lambda keeps it because this was raised."""

    def __init__(self, failures: Sequence[HearthError]) -> None:
        super().__init__(f"{len(failures)} of the event's objects could not be answered; the log says why")
        self.failures = failures


def handle(tasks: Sequence[Task], event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Answer S3, EventBridge and SQS events. An SQS message that is to come again is named in `batchItemFailures`."""
    messages = [record for record in event.get("Records", ()) if record.get("eventSource") == "aws:sqs"]
    if not messages:
        failed = [failure for created in _created(event) if (failure := _failure(tasks, created, context))]
        if failed:
            raise EventFailedError(failed)
        return {}
    again = []
    repeated = any(dead_letters.deliveries(message) > 1 for message in messages)
    for message in dead_letters.ordered(messages):
        if not _done(tasks, message, context):
            again.append({"itemIdentifier": message["messageId"]})
        elif repeated:
            dead_letters.release(message)
    return {"batchItemFailures": again}


def _done(tasks: Sequence[Task], message: Mapping[str, Any], context: Any) -> bool:
    """Whether a message needs no further delivery. Nothing that is wrong with it is its neighbours' concern."""
    try:
        told = list(_created(json.loads(message["body"])))
    except Exception:  # whatever a stranger's JSON holds in the place of an event
        log.logger().error("malformed message", extra={"message_id": log.plain(message.get("messageId", ""))})
        failed: list[tuple[str, HearthError]] = [("", BadRequest("The message is no storage event"))]
    else:
        failed = [
            ("" if _foreign(created) else created.key, failure)
            for created in told
            if (failure := _failure(tasks, created, context))
        ]
    return not failed or dead_letters.bury(message, failed)


def _created(event: Mapping[str, Any]) -> Iterator[Created]:
    """The objects that an event tells of. Raises what wrong forms raise: KeyError, TypeError, ValueError and others."""
    if event.get("source") == "aws.s3":
        if event.get("detail-type") == "Object Created":
            detail = event["detail"]
            thing = detail["object"]  # EventBridge gives the key as it is
            yield Created(
                _text(detail["bucket"]["name"]),
                _text(thing["key"]),
                _text(thing.get("etag", "")),
                int(thing.get("size", 0)),
                _text(thing.get("sequencer", "")),
                _version(thing.get("version-id")),
            )
        return
    for record in event.get("Records", ()):
        if record.get("eventSource") == "aws:s3" and record.get("eventName", "").startswith("ObjectCreated:"):
            thing = record["s3"]["object"]  # a notification gives it URL-encoded
            yield Created(
                _text(record["s3"]["bucket"]["name"]),
                _text(unquote_plus(thing["key"], errors="strict")),
                _text(thing.get("eTag", "")),
                int(thing.get("size", 0)),
                _text(thing.get("sequencer", "")),
                _version(thing.get("versionId")),
            )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text was expected")
    value.encode()  # half of a surrogate pair is in no key of S3
    return value


def _version(value: object) -> str:
    """Objects that were put before a bucket had versions, or while it had none, have the version `null`."""
    return "" if value in (None, "null") else _text(value)


def _failure(tasks: Sequence[Task], created: Created, context: Any) -> HearthError | None:
    """Answer for one object; why that failed, if it did."""
    request_id = getattr(context, "aws_request_id", "")
    tenant = uploads.owner(created.key)
    return log.attempt(lambda: _answer(tasks, created), request_id=request_id, trigger="storage", tenant=tenant)


def _answer(tasks: Sequence[Task], created: Created) -> str:
    chosen = settings.get()
    if not chosen.output:
        raise SettingsError("HEARTH_OUTPUT is not set: it says where results of uploads are written")
    place = uploads.place(created.key)
    if place is None or f"s3://{created.bucket}/{created.key}".startswith(f"{chosen.output.rstrip('/')}/"):
        return "not an input"
    if _foreign(created):
        raise Forbidden("The event is of a bucket that is not the one of HEARTH_UPLOADS")
    uploads.check_size(created.size)
    return settle(open_store(chosen.output), created, lambda: _result(tasks, *place, created))


def _foreign(created: Created) -> bool:
    """Whether an object is in a bucket where nobody was let upload."""
    where = settings.get().uploads
    return where.startswith("s3://") and where != f"s3://{created.bucket}"


def _result(tasks: Sequence[Task], name: str, asked: str, created: Created) -> Result:
    with timing.step("input"):
        source = uploads.source(created.bucket)
        body, etag = source.get_with_etag(created.key, version=created.version, limit=uploads.MAX_BYTES)
    if created.etag and not created.version and etag.strip('"') != created.etag.strip('"'):
        raise Superseded  # that one's own event is on its way
    return answered(tasks, name, asked, body, created.about)
