"""Storage events: for each version of an object below the upload prefix, `<key>.json` is written to the output.

Events come from S3 or EventBridge, directly or through SQS, SNS, or SNS and SQS.

The guarantee: every upload with a delivered event gets exactly one result per version of the object (`results`), or its
message goes to the dead-letter queue (`dead_letters`). Deliveries may be repeated, late or reordered, and workers may
crash at any point.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_plus

from hearth import settings
from hearth.async_inference import dead_letters, uploads
from hearth.async_inference.results import (
    CreatedObject,
    Result,
    Superseded,
    predict_object,
    result_path,
    write_result_once,
)
from hearth.auth import api_keys
from hearth.errors import BadRequest, Forbidden, HearthError, SettingsError
from hearth.storage.open import open_store
from hearth.tasks.task import Tasks
from hearth.telemetry.log import attempt, logger, sanitize
from hearth.telemetry.timing import step

FILM_BYTES = 512
"""Shorter objects hold no film, whose index alone takes more: their work has no checkpoint."""


class EventFailedError(Exception):
    """A storage event without a queue failed. Lambda keeps the event because this is raised."""

    def __init__(self, failures: Sequence[HearthError]) -> None:
        super().__init__(f"{len(failures)} of the event's objects failed; the log has the reasons")
        self.failures = failures


def handle(tasks: Tasks, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Process S3, EventBridge, SNS and SQS events. `batchItemFailures` lists the SQS messages that must be delivered
    again.

    Raises EventFailedError; KeyError, TypeError, ValueError and others for invalid events.
    """
    records = event.get("Records", ())
    messages = [record for record in records if record.get("eventSource") == "aws:sqs"]
    if messages:
        return _process_queue(tasks, messages, context)
    notifications = [record for record in records if record.get("EventSource") == "aws:sns"]
    if notifications:
        failures = [failure for record in notifications for failure in _process_notification(tasks, record, context)]
    else:
        created_objects = list(_created_objects(event))
        failures = [failure for created in created_objects if (failure := _process(tasks, created, context))]
    if failures:
        raise EventFailedError(failures)
    return {}


def _process_queue(tasks: Tasks, messages: Sequence[Mapping[str, Any]], context: Any) -> dict[str, Any]:
    batch_item_failures = []
    is_redelivery = any(dead_letters.deliveries(message) > 1 for message in messages)
    for message in dead_letters.poison_safe_order(messages):
        failures = _process_message(tasks, message["body"], str(message["messageId"]), context)
        if failures and not dead_letters.send_to_dlq(message, failures):
            batch_item_failures.append({"itemIdentifier": message["messageId"]})
            dead_letters.redeliver_soon(message)
        elif is_redelivery:
            dead_letters.delete_message(message)
    return {"batchItemFailures": batch_item_failures}


def _process_notification(tasks: Tasks, record: Mapping[str, Any], context: Any) -> list[HearthError]:
    """Process a notification that SNS sent to this function, and return its errors, unless it is a dead letter."""
    notification = record["Sns"]
    failures = _process_message(tasks, notification["Message"], str(notification.get("MessageId", "")), context)
    if failures and dead_letters.send_to_dlq({"body": notification["Message"]}, failures):
        return []
    return [failure for _, failure in failures]


def _process_message(tasks: Tasks, body: Any, message_id: str, context: Any) -> list[tuple[str, HearthError]]:
    """Process the body of a message, and return the keys and errors of its failed objects."""
    try:
        objects = list(_created_objects(_unwrap(json.loads(body))))
    except Exception:  # any text may be sent to the queue
        logger().error("malformed message", extra={"message_id": sanitize(message_id)})
        return [("", BadRequest("The message is not a storage event"))]
    failures = []
    for created in objects:
        if failure := _process(tasks, created, context):
            failures.append(("" if _is_foreign(created) else created.key, failure))
    return failures


def _unwrap(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The event of a notification of SNS, which has it as a text; other documents as they are."""
    if document.get("Type") == "Notification" and "TopicArn" in document:
        event: Mapping[str, Any] = json.loads(document["Message"])
        return event
    return document


def _created_objects(event: Mapping[str, Any]) -> Iterator[CreatedObject]:
    """The objects that an event created. Raises KeyError, TypeError, ValueError and others for anything but an event of
    S3."""
    if event.get("Event") == "s3:TestEvent":  # S3 sends it when notifications are switched on
        return
    if event.get("source") == "aws.s3":
        if event.get("detail-type") == "Object Created":
            detail = event["detail"]
            entry = detail["object"]  # EventBridge does not encode the key
            yield CreatedObject(
                _text(detail["bucket"]["name"]),
                _text(entry["key"]),
                _text(entry.get("etag", "")),
                int(entry.get("size", 0)),
                _text(entry.get("sequencer", "")),
                _version(entry.get("version-id")),
            )
        return
    records = event["Records"]
    if not records:
        raise ValueError("an event without a record")
    for record in records:
        if record["eventSource"] != "aws:s3":
            raise ValueError("not an event of S3")
        if record["eventName"].startswith("ObjectCreated:"):
            entry = record["s3"]["object"]  # S3 notifications URL-encode the key
            yield CreatedObject(
                _text(record["s3"]["bucket"]["name"]),
                _text(unquote_plus(entry["key"], errors="strict")),
                _text(entry.get("eTag", "")),
                int(entry.get("size", 0)),
                _text(entry.get("sequencer", "")),
                _version(entry.get("versionId")),
            )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text was expected")
    value.encode()  # raises for surrogates, which S3 keys cannot have
    return value


def _version(value: object) -> str:
    """The version id. Objects created while the bucket was unversioned have the version `null`."""
    return "" if value in (None, "null") else _text(value)


def _process(tasks: Tasks, created: CreatedObject, context: Any) -> HearthError | None:
    """Process one object with its own log line, and return its error, if any."""
    request_id = getattr(context, "aws_request_id", "")
    tenant = uploads.tenant_of_key(created.key)
    api_keys.set_session(tenant or created.key)  # the same for each delivery
    return attempt(lambda: _write_result(tasks, created), request_id=request_id, trigger="storage", tenant=tenant)


def _write_result(tasks: Tasks, created: CreatedObject) -> str:
    config = settings.get()
    if not config.output:
        raise SettingsError("HEARTH_OUTPUT is not set; set it to the location of the results")
    target = uploads.input_of_key(created.key)
    if target is None or f"s3://{created.bucket}/{created.key}".startswith(f"{config.output.rstrip('/')}/"):
        return "not an input"
    if _is_foreign(created):
        raise Forbidden("The event's bucket is not the bucket of HEARTH_UPLOADS")
    uploads.check_size(created.size)
    name, task_id = target
    output = open_store(config.output)
    outcome = write_result_once(output, created, lambda: _compute_result(tasks, name, task_id, created))
    if (config.event_bus or config.webhook) and outcome != "superseded":
        _announce(output.get(result_path(created)), task_id)
    return outcome


def _announce(result: bytes, task_id: str) -> None:
    """Announce a result, also one that was written before: its announcement may have failed then. Raises StoreError."""
    from hearth.async_inference.announcements import announce

    with step("announce"):
        announce(result, task_id)


def _is_foreign(created: CreatedObject) -> bool:
    """Whether an object is not in the bucket for uploads."""
    uri = settings.get().uploads
    return uri.startswith("s3://") and uri != f"s3://{created.bucket}"


def _compute_result(tasks: Tasks, name: str, task_id: str, created: CreatedObject) -> Result:
    with step("input"):
        source = uploads.source_store(created.bucket)
        body, etag = source.get_with_etag(created.key, version=created.version, limit=uploads.MAX_BYTES)
    if created.etag and not created.version and etag.strip('"') != created.etag.strip('"'):
        raise Superseded  # the newer object has its own event
    if len(body) < FILM_BYTES:
        return predict_object(tasks, name, task_id, body, created.description)
    from hearth.tasks import checkpoint

    attempt = checkpoint.Checkpoint(
        open_store(settings.get().output),
        f"{created.key}{checkpoint.SUFFIX}",
        f"{created.bucket} {created.key} {created.version or etag}",
    )
    with checkpoint.use(attempt):
        return predict_object(tasks, name, task_id, body, created.description)
