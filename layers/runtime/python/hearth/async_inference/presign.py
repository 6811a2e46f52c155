"""Presigned uploads of one object: a form for S3, or a signed path of the local server.

A form is a POST policy of Signature Version 4, as in AWS's "Browser-Based Uploads Using POST". It permits only to
upload one key, with one content type and a maximum size, until it expires.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import secrets
import time
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

from hearth.aws.client import signing_key
from hearth.aws.credentials import find_credentials
from hearth.aws.s3 import Bucket
from hearth.errors import Forbidden

LIFETIME_SECONDS = 900
"""Seconds until a permission expires."""
_SECRET = secrets.token_bytes(32)
"""Key that signs the local server's paths; they become invalid when the server ends."""


def presigned_post(
    bucket: Bucket, key: str, content_type: str, size: int, environ: Mapping[str, str] = os.environ
) -> tuple[dict[str, str], int]:
    """The form fields of a POST to `bucket.url` that uploads at most `size` bytes to `key`, and their expiry (seconds
    since 1970). The file must follow these fields. Raises StoreError without credentials."""
    credentials, now = find_credentials(environ), time.time()
    timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    fields = {
        "key": key,
        "Content-Type": content_type,
        "x-amz-algorithm": "AWS4-HMAC-SHA256",
        "x-amz-credential": f"{credentials.access_key}/{timestamp[:8]}/{bucket.region}/s3/aws4_request",
        "x-amz-date": timestamp,
    }
    if credentials.token:
        fields["x-amz-security-token"] = credentials.token
    expires = int(now) + LIFETIME_SECONDS
    policy = {
        "expiration": isoformat(expires),
        "conditions": [
            {"bucket": bucket.name},
            ["content-length-range", 1, size],
            *({name: value} for name, value in fields.items()),
        ],
    }
    fields["policy"] = base64.b64encode(json.dumps(policy).encode()).decode()
    day_key = signing_key(credentials, timestamp[:8], bucket.region, "s3")
    fields["x-amz-signature"] = hmac.digest(day_key, fields["policy"].encode(), "sha256").hex()
    return fields, expires


def signed_path(upload_id: str, key: str, content_type: str, size: int) -> tuple[str, int]:
    """The local server's path to upload at most `size` bytes to `key`, and its expiry (seconds since 1970)."""
    expires = int(time.time()) + LIFETIME_SECONDS
    query = {"key": key, "type": content_type, "size": str(size), "expires": str(expires)}
    query["signature"] = _signature(query)
    encoded = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    return f"/uploads/{upload_id}?{encoded}", expires


class Permission(NamedTuple):
    """What a signed path permits."""

    key: str
    content_type: str
    max_bytes: int
    expires: int
    """Seconds since 1970."""
    signature: str


def verify_signed_path(query: Mapping[str, str]) -> Permission:
    """What a path from `signed_path` permits. Raises Forbidden."""
    signed = {name: query.get(name, "") for name in ("key", "type", "size", "expires")}
    if not hmac.compare_digest(_signature(signed).encode(), query.get("signature", "").encode()):
        raise Forbidden("This URL is not one that POST /uploads returned")
    if time.time() > int(signed["expires"]):
        raise Forbidden("This URL has expired; request another with POST /uploads")
    size, expires = int(signed["size"]), int(signed["expires"])
    return Permission(signed["key"], signed["type"], size, expires, query["signature"])


def isoformat(seconds: int) -> str:
    """A time in seconds since 1970 as ISO 8601, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _signature(query: Mapping[str, str]) -> str:
    text = "\n".join(query[name] for name in ("key", "type", "size", "expires"))
    return hmac.digest(_SECRET, text.encode(), "sha256").hex()
