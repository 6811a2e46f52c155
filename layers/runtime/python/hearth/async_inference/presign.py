"""Presigned uploads of one object: the fields of a form for S3 or for the local server.

S3's form is a POST policy of Signature Version 4, as in AWS's "Browser-Based Uploads Using POST". Either permits only
to upload one key, with one content type and a maximum size, until it expires.
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

from hearth.aws.client import signing_key
from hearth.aws.credentials import find_credentials
from hearth.aws.s3 import Bucket
from hearth.errors import Forbidden

LIFETIME_SECONDS = 900
"""Seconds until a permission expires."""
_SECRET = secrets.token_bytes(32)
"""Key that signs the local server's forms; they become invalid when the server ends."""


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


_SIGNED_FIELDS = ("key", "Content-Type", "x-hearth-size", "x-hearth-expires")


def signed_form(key: str, content_type: str, size: int) -> tuple[dict[str, str], int]:
    """The form fields of a POST to the local server that uploads at most `size` bytes to `key`, and their expiry
    (seconds since 1970). The file must follow these fields."""
    expires = int(time.time()) + LIFETIME_SECONDS
    fields = dict(zip(_SIGNED_FIELDS, (key, content_type, str(size), str(expires)), strict=True))
    return {**fields, "x-hearth-signature": _signature(fields)}, expires


class Permission(NamedTuple):
    """What the fields of a form permit."""

    key: str
    content_type: str
    max_bytes: int
    expires: int
    """Seconds since 1970."""
    signature: str


def verify_form(fields: Mapping[str, str]) -> Permission:
    """What fields from `signed_form` permit. Raises Forbidden."""
    signed = {name: fields.get(name, "") for name in _SIGNED_FIELDS}
    signature = fields.get("x-hearth-signature", "")
    if not hmac.compare_digest(_signature(signed).encode(), signature.encode()):
        raise Forbidden("The fields of this form are not those that POST /uploads returned; send all of them")
    size, expires = int(signed["x-hearth-size"]), int(signed["x-hearth-expires"])
    if time.time() > expires:
        raise Forbidden("This form has expired; request another with POST /uploads")
    return Permission(signed["key"], signed["Content-Type"], size, expires, signature)


def isoformat(seconds: int) -> str:
    """A time in seconds since 1970 as ISO 8601, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _signature(fields: Mapping[str, str]) -> str:
    text = "\n".join(fields[name] for name in _SIGNED_FIELDS)
    return hmac.digest(_SECRET, text.encode(), "sha256").hex()
