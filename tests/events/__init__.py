"""Payloads as AWS sends them, one file each trigger, ready for `sam local invoke --event`.

`event` puts other values into one: `path` `method` `body` `content_type` `is_base64` of requests; `bucket` `key` `size`
`etag` `version_id` of objects; `message_id` of messages; `model` and `run` of batches.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

HERE = Path(__file__).resolve().parent
WHERE = {
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
"""The fields in which each value stands, whatever the trigger."""


def event(name: str, **values: Any) -> dict[str, Any]:
    """The payload `<name>.json` with `values` in place of its own. Raises KeyError for those that no event has."""
    if unknown := set(values) - set(WHERE):
        raise KeyError(f"no event has {sorted(unknown)}")
    asked = {field: values[value] for value in values for field in WHERE[value]}
    return _filled(json.loads((HERE / f"{name}.json").read_text(encoding="utf-8")), asked)


def _filled(part: Any, asked: dict[str, Any]) -> Any:
    if isinstance(part, list):
        return [_filled(item, asked) for item in part]
    if not isinstance(part, dict):
        return part
    filled = {field: _filled(value, asked) for field, value in part.items()}
    for field in filled.keys() & asked.keys():
        filled[field] = _in_the_form_of(part[field], asked[field])
    if "key" in asked and "eTag" in part:  # S3 itself quotes keys as forms are; EventBridge has them as they are
        filled["key"] = quote_plus(asked["key"], safe="/")
    if part.get("eventSource") == "aws:sqs":  # a message is text
        filled["body"] = json.dumps(_filled(json.loads(part["body"]), asked))
    return filled


def _in_the_form_of(former: Any, value: Any) -> Any:
    """`value` as the field has it: in a list, as a name or an ARN of a bucket, below the stage."""
    if isinstance(former, list):
        return [_in_the_form_of(item, value) for item in former]
    if isinstance(former, dict):
        return former | {"name": value, "arn": f"arn:aws:s3:::{value}"} if "arn" in former else {"name": value}
    if isinstance(former, str):
        for prefix in ("arn:aws:s3:::", "/prod"):
            if former.startswith(prefix):
                return f"{prefix}{value}"
    return value
