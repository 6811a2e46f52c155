"""Storage events as S3, EventBridge and SQS send them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus


def notification(bucket: str, key: str, etag: str, size: int, sequencer: str = "", version: str = "") -> dict[str, Any]:
    """A record of an S3 notification: its key is URL-encoded."""
    thing = {"key": quote_plus(key, safe="/"), "eTag": etag, "size": size}
    thing |= {"sequencer": sequencer} if sequencer else {}
    thing |= {"versionId": version} if version else {}
    return {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": bucket}, "object": thing},
    }


def bridged(bucket: str, key: str, etag: str, size: int, sequencer: str = "", version: str = "") -> dict[str, Any]:
    """The same by EventBridge, with the key as it is."""
    thing = {"key": key, "etag": etag, "size": size}
    thing |= {"sequencer": sequencer} if sequencer else {}
    thing |= {"version-id": version} if version else {}
    detail = {"bucket": {"name": bucket}, "object": thing}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}


def message(body: Any, name: str = "m0", deliveries: int = 1) -> dict[str, Any]:
    """A message of SQS as Lambda hands it out."""
    return {
        "eventSource": "aws:sqs",
        "messageId": name,
        "attributes": {"ApproximateReceiveCount": str(deliveries)},
        "body": body if isinstance(body, str) else json.dumps(body),
    }


def queued(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"Records": list(messages)}
