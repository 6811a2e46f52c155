"""Storage events: an object put below the upload prefix becomes `<key>.json` at the output, once a version."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

import msgspec

from hearth import log, settings, trace, uploads
from hearth.cache import warm
from hearth.dialects import native
from hearth.errors import HearthError, Internal, NotFound, PayloadTooLarge, SettingsError
from hearth.store import Conflict, Store, open_store
from hearth.task import Task, choose

MAX_OBJECT = 64 * 1024 * 1024
"""Bytes of an uploaded object."""


@dataclass(frozen=True)
class Upload:
    bucket: str
    key: str
    etag: str
    size: int
    sequencer: str
    """Hexadecimal; orders the events of one key."""


class Result(msgspec.Struct, frozen=True):
    model: str
    version: str
    input: dict[str, str]
    output: Any = None


class EventFailedError(Exception):
    """A storage event without a queue could not be answered; Lambda keeps it because this was raised."""


def handle(tasks: Sequence[Task], event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Answer S3, EventBridge and SQS events. A failed SQS message is named in `batchItemFailures`, alone."""
    messages = [record for record in event.get("Records", ()) if record.get("eventSource") == "aws:sqs"]
    if not messages:
        failed = [upload.key for upload in _uploads(event) if not _answered(tasks, upload, context)]
        if failed:
            raise EventFailedError(f"{len(failed)} of the event's objects could not be answered; the log says why")
        return {}
    failures = []
    for message in messages:
        try:
            told = list(_uploads(json.loads(message["body"])))
            answered = [_answered(tasks, upload, context) for upload in told]  # each, also after a failure
            fine = all(answered)
        except (ValueError, KeyError, TypeError, AttributeError):
            log.logger().error("malformed message", extra={"message_id": message.get("messageId", "")})
            fine = False
        if not fine:
            failures.append({"itemIdentifier": message["messageId"]})
    return {"batchItemFailures": failures}


def _uploads(event: Mapping[str, Any]) -> Iterator[Upload]:
    if event.get("source") == "aws.s3":
        if event.get("detail-type") == "Object Created":
            detail = event["detail"]
            thing = detail["object"]  # EventBridge gives the key as it is
            yield Upload(
                detail["bucket"]["name"],
                thing["key"],
                thing.get("etag", ""),
                int(thing.get("size", 0)),
                thing.get("sequencer", ""),
            )
        return
    for record in event.get("Records", ()):
        if record.get("eventSource") == "aws:s3" and record.get("eventName", "").startswith("ObjectCreated:"):
            thing = record["s3"]["object"]  # a notification gives it URL-encoded
            yield Upload(
                record["s3"]["bucket"]["name"],
                unquote_plus(thing["key"]),
                thing.get("eTag", ""),
                int(thing.get("size", 0)),
                thing.get("sequencer", ""),
            )


def _answered(tasks: Sequence[Task], upload: Upload, context: Any) -> bool:
    """Whether nothing more is to be done for this object."""
    timing = trace.begin()
    failure: HearthError | None = None
    try:
        timing.facts["outcome"] = _answer(tasks, upload)
    except HearthError as error:
        failure = error
    except Exception as error:
        log.unexpected(error)
        failure = Internal("An unexpected error; its cause is in the log")
    status = failure.status if failure else 200
    request_id = getattr(context, "aws_request_id", "")
    log.request(timing, request_id=request_id, status=status, trigger="storage", failure=failure)
    return failure is None


def _answer(tasks: Sequence[Task], upload: Upload) -> str:
    chosen = settings.get()
    if not chosen.output:
        raise SettingsError("HEARTH_OUTPUT is not set: it says where results of uploads are written")
    place = uploads.place(upload.key)
    if place is None or f"s3://{upload.bucket}/{upload.key}".startswith(chosen.output):
        return "not an input"
    if upload.size > MAX_OBJECT:
        raise PayloadTooLarge(f"The object has {upload.size} bytes; {MAX_OBJECT} are allowed")
    output = open_store(chosen.output)
    key = f"{upload.key}.json"
    former = _former(output, key)
    if former and former[0].get("etag") == upload.etag and former[0].get("sequencer") == upload.sequencer:
        return "answered before"
    if former and int(former[0].get("sequencer") or "0", 16) > int(upload.sequencer or "0", 16):
        return "superseded"
    with trace.step("input"):
        body, etag = uploads.source(upload.bucket).get_with_etag(upload.key)
    if upload.etag and etag.strip('"') != upload.etag.strip('"'):
        return "superseded"  # it was written again since; that one's own event is on its way
    result = _result(tasks, *place, body, upload)
    with trace.step("output"):
        try:
            data = msgspec.json.encode(result)
            output.put(key, data, if_absent=former is None, if_match=former[1] if former else None)
        except Conflict:
            if _former(output, key) == former:
                raise
            return "answered meanwhile"
    return "answered"


def _former(output: Store, key: str) -> tuple[dict[str, str], str] | None:
    try:
        raw, tag = output.get_with_etag(key)
    except NotFound:
        return None
    return msgspec.json.decode(raw, type=Result).input, tag


def _result(tasks: Sequence[Task], name: str, asked: str, body: bytes, upload: Upload) -> Result:
    registry = warm().registry
    manifest = registry.manifest(registry.resolve(name))
    task = choose(tasks, name, manifest.task, asked)
    request = native.read_object(task, body)
    output = task.predict(name, request)
    about = {
        "bucket": upload.bucket,
        "key": upload.key,
        "etag": upload.etag,
        "sequencer": upload.sequencer,
    }
    return Result(manifest.model, manifest.version, about, output)
