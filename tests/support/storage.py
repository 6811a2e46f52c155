"""Storage events as S3, EventBridge and SQS send them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus


def notification(bucket: str, key: str, etag: str, size: int, sequencer: str = "", version: str = "") -> dict[str, Any]:
    """Return the record of an S3 notification; its key is URL-encoded."""
    s3_object = {"key": quote_plus(key, safe="/"), "eTag": etag, "size": size}
    s3_object |= {"sequencer": sequencer} if sequencer else {}
    s3_object |= {"versionId": version} if version else {}
    return {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": bucket}, "object": s3_object},
    }


def eventbridge_event(
    bucket: str, key: str, etag: str, size: int, sequencer: str = "", version: str = ""
) -> dict[str, Any]:
    """Return the same event as EventBridge sends it; its key is not encoded."""
    s3_object = {"key": key, "etag": etag, "size": size}
    s3_object |= {"sequencer": sequencer} if sequencer else {}
    s3_object |= {"version-id": version} if version else {}
    detail = {"bucket": {"name": bucket}, "object": s3_object}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}


def message(body: Any, name: str = "m0", deliveries: int = 1) -> dict[str, Any]:
    """Return an SQS message as Lambda delivers it."""
    return {
        "eventSource": "aws:sqs",
        "messageId": name,
        "attributes": {"ApproximateReceiveCount": str(deliveries)},
        "body": body if isinstance(body, str) else json.dumps(body),
    }


def sqs_event(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"Records": list(messages)}
