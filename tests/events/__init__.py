"""Payloads as AWS sends them, one file for each trigger, ready for `sam local invoke --event`.

`event` replaces values in a payload: `path` `method` `body` `content_type` `is_base64` of requests; `bucket` `key`
`size` `etag` `version_id` of objects; `message_id` of messages; `model` and `run` of batches.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

HERE = Path(__file__).resolve().parent
FIELDS = {
    "path": ("path", "rawPath", "resource", "resourcePath"),
    "method": ("httpMethod", "method"),
    "body": ("body",),
    "content_type": ("content-type",),
    "is_base64": ("isBase64Encoded",),
    "bucket": ("bucket", "Bucket", "arn", "resources"),
    "key": ("key", "Key"),
    "size": ("size", "Size"),
    "etag": ("etag", "eTag", "Etag"),
    "version_id": ("version-id", "versionId"),
    "message_id": ("messageId",),
    "model": ("model",),
    "run": ("run",),
}
"""The payload fields that hold each value, for any trigger."""


def event(name: str, **values: Any) -> dict[str, Any]:
    """Return the payload `<name>.json` with its fields replaced by `values`. Raises KeyError for an unknown value."""
    if unknown := set(values) - set(FIELDS):
        raise KeyError(f"no event has {sorted(unknown)}")
    replacements = {field: values[value] for value in values for field in FIELDS[value]}
    return _replace(json.loads((HERE / f"{name}.json").read_text(encoding="utf-8")), replacements)


def _replace(node: Any, replacements: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_replace(item, replacements) for item in node]
    if not isinstance(node, dict):
        return node
    copy = {field: _replace(value, replacements) for field, value in node.items()}
    for field in copy.keys() & replacements.keys():
        copy[field] = _shaped_like(node[field], replacements[field])
    if "key" in replacements and "eTag" in node:  # S3 URL-encodes keys; EventBridge does not
        copy["key"] = quote_plus(replacements["key"], safe="/")
    if node.get("eventSource") == "aws:sqs":  # the body of a message is a string
        copy["body"] = json.dumps(_replace(json.loads(node["body"]), replacements))
    return copy


def _shaped_like(original: Any, value: Any) -> Any:
    """Give `value` the shape of `original`: a list, a bucket's name or ARN, or a path below the stage."""
    if isinstance(original, list):
        return [_shaped_like(item, value) for item in original]
    if isinstance(original, dict):
        return original | {"name": value, "arn": f"arn:aws:s3:::{value}"} if "arn" in original else {"name": value}
    if isinstance(original, str):
        for prefix in ("arn:aws:s3:::", "/prod"):
            if original.startswith(prefix):
                return f"{prefix}{value}"
    return value
