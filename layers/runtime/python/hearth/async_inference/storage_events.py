"""Storage events: an object put below the upload prefix becomes `<key>.json` at the output, once a version.

The law: an upload whose event arrived ends in exactly one result a version of the object (`results`), or its message
among the dead letters (`dead_letters`). Deliveries may repeat, come late or out of order; workers may die at any point.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_plus

from hearth import settings
from hearth.async_inference import dead_letters, uploads
from hearth.async_inference.results import CreatedObject, Result, Superseded, answer_object, write_result_once
from hearth.errors import BadRequest, Forbidden, HearthError, SettingsError
from hearth.storage.open import open_store
from hearth.tasks.task import Task
from hearth.telemetry.log import attempt, logger, plain
from hearth.telemetry.timing import step


class EventFailedError(Exception):
    """A storage event without a queue could not be answered; Lambda keeps the event because this was raised."""

    def __init__(self, failures: Sequence[HearthError]) -> None:
        super().__init__(f"{len(failures)} of the event's objects could not be answered; the log says why")
        self.failures = failures


def handle(tasks: Sequence[Task], event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Answer S3, EventBridge and SQS events. An SQS message that is to come again is named in `batchItemFailures`."""
    messages = [record for record in event.get("Records", ()) if record.get("eventSource") == "aws:sqs"]
    if not messages:
        failures = [failure for created in _created_objects(event) if (failure := _answer(tasks, created, context))]
        if failures:
            raise EventFailedError(failures)
        return {}
    again = []
    repeated = any(dead_letters.deliveries(message) > 1 for message in messages)
    for message in dead_letters.poison_safe_order(messages):
        if not _is_done(tasks, message, context):
            again.append({"itemIdentifier": message["messageId"]})
        elif repeated:
            dead_letters.delete_message(message)
    return {"batchItemFailures": again}


def _is_done(tasks: Sequence[Task], message: Mapping[str, Any], context: Any) -> bool:
    """Answer a message; whether it needs no further delivery. What is wrong with it does not concern its neighbours."""
    failures: list[tuple[str, HearthError]] = []
    try:
        objects = list(_created_objects(json.loads(message["body"])))
    except Exception:  # whatever a stranger's JSON holds in place of an event
        logger().error("malformed message", extra={"message_id": plain(message.get("messageId", ""))})
        failures.append(("", BadRequest("The message is no storage event")))
    else:
        for created in objects:
            if failure := _answer(tasks, created, context):
                failures.append(("" if _is_foreign(created) else created.key, failure))
    return not failures or dead_letters.send_to_dlq(message, failures)


def _created_objects(event: Mapping[str, Any]) -> Iterator[CreatedObject]:
    """The objects that an event announces. Raises KeyError, TypeError, ValueError and others for wrong forms."""
    if event.get("source") == "aws.s3":
        if event.get("detail-type") == "Object Created":
            detail = event["detail"]
            described = detail["object"]  # EventBridge gives the key as it is
            yield CreatedObject(
                _text(detail["bucket"]["name"]),
                _text(described["key"]),
                _text(described.get("etag", "")),
                int(described.get("size", 0)),
                _text(described.get("sequencer", "")),
                _version(described.get("version-id")),
            )
        return
    for record in event.get("Records", ()):
        if record.get("eventSource") == "aws:s3" and record.get("eventName", "").startswith("ObjectCreated:"):
            described = record["s3"]["object"]  # a notification gives the key URL-encoded
            yield CreatedObject(
                _text(record["s3"]["bucket"]["name"]),
                _text(unquote_plus(described["key"], errors="strict")),
                _text(described.get("eTag", "")),
                int(described.get("size", 0)),
                _text(described.get("sequencer", "")),
                _version(described.get("versionId")),
            )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text was expected")
    value.encode()  # half of a surrogate pair is in no key of S3
    return value


def _version(value: object) -> str:
    """Objects that were put before a bucket had versions, or while it had none, have the version `null`."""
    return "" if value in (None, "null") else _text(value)


def _answer(tasks: Sequence[Task], created: CreatedObject, context: Any) -> HearthError | None:
    """Answer one object, with a log line of its own; return why that failed, if it did."""
    request_id = getattr(context, "aws_request_id", "")
    tenant = uploads.tenant_of_key(created.key)
    return attempt(lambda: _write_answer(tasks, created), request_id=request_id, trigger="storage", tenant=tenant)


def _write_answer(tasks: Sequence[Task], created: CreatedObject) -> str:
    chosen = settings.get()
    if not chosen.output:
        raise SettingsError("HEARTH_OUTPUT is not set: it says where results of uploads are written")
    target = uploads.input_of_key(created.key)
    if target is None or f"s3://{created.bucket}/{created.key}".startswith(f"{chosen.output.rstrip('/')}/"):
        return "not an input"
    if _is_foreign(created):
        raise Forbidden("The event is of a bucket that is not the one of HEARTH_UPLOADS")
    uploads.check_size(created.size)
    name, task_id = target
    return write_result_once(open_store(chosen.output), created, lambda: _make_result(tasks, name, task_id, created))


def _is_foreign(created: CreatedObject) -> bool:
    """Whether an object is in another bucket than the one for uploads."""
    uri = settings.get().uploads
    return uri.startswith("s3://") and uri != f"s3://{created.bucket}"


def _make_result(tasks: Sequence[Task], name: str, task_id: str, created: CreatedObject) -> Result:
    with step("input"):
        source = uploads.source_store(created.bucket)
        body, etag = source.get_with_etag(created.key, version=created.version, limit=uploads.MAX_BYTES)
    if created.etag and not created.version and etag.strip('"') != created.etag.strip('"'):
        raise Superseded  # the newer object's own event is on its way
    return answer_object(tasks, name, task_id, body, created.description)
