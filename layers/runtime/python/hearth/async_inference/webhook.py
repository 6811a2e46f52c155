"""A webhook: an address of the operator that gets the announcement of each result, signed as in Standard Webhooks 1.0.

An announcement is delivered at least once: `webhook-id` tells repetitions apart. One that is not taken fails the
message of its upload, which the queue delivers again and at last sends to the dead-letter queue; the result stays.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hearth import __version__, deadline, settings
from hearth.aws.client import CONNECT_SECONDS, READ_SECONDS
from hearth.aws.http1 import Connection
from hearth.aws.retry import RETRYABLE_STATUSES, TransientError, retry
from hearth.errors import StoreError

if TYPE_CHECKING:
    import ssl

EVENT_TYPE = "result.created"
SECRET_PREFIX = "whsec_"  # noqa: S105 -- how Standard Webhooks marks a secret
SSM = "ssm:"
KEY_SECONDS = 300
"""How long a key of Parameter Store is remembered."""
MAX_BODY = 64 * 1024
"""Bytes of the webhook's response that are read."""


class WebhookError(TransientError):
    """The webhook did not take an announcement; it may take a later one."""

    code = "webhook_error"


class WebhookRefused(StoreError):
    """The webhook refused an announcement, and would refuse it again at once."""

    code = "webhook_error"


def post(url: str, key: str, identity: str, data: dict[str, Any]) -> None:
    """Send an announcement, signed with the `key` of the settings. `identity` is that of the result.

    Raises WebhookError, WebhookRefused, StoreError.
    """
    secret = _parameter(key.removeprefix(SSM), int(time.monotonic() // KEY_SECONDS)) if key.startswith(SSM) else key
    message_id = f"msg_{hashlib.sha256(identity.encode()).hexdigest()[:32]}"
    created = datetime.now(UTC).isoformat(timespec="seconds")
    body = json.dumps({"type": EVENT_TYPE, "timestamp": created, "data": data}).encode()
    retry(lambda: _attempt(url, secret, message_id, body), None)


@functools.lru_cache(maxsize=1)
def _parameter(name: str, period: int) -> str:
    """The key in a parameter of Parameter Store, read once in each period. Raises StoreError."""
    from hearth.aws import ssm

    value = ssm.get_parameter(name).strip()
    if not settings.is_webhook_key(value):
        raise StoreError(f"The parameter {name} must have whsec_ and the base64 of 24 to 64 bytes")
    return value


def sign(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """The header `webhook-signature`. `secret` is whsec_ and base64."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    digest = hmac.digest(key, b".".join((message_id.encode(), timestamp.encode(), body)), "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def _attempt(url: str, secret: str, message_id: str, body: bytes) -> None:
    timestamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"hearth/{__version__}",
        "Connection": "close",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": sign(secret, message_id, timestamp, body),
    }
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = Connection(url, deadline.timeout(CONNECT_SECONDS), _tls() if parts.scheme == "https" else None)
    try:
        connection.connect().settimeout(deadline.timeout(READ_SECONDS))
        response = connection.request("POST", target, headers, body)
        response.readinto(memoryview(bytearray(MAX_BODY)))
    except OSError as error:
        raise WebhookError(f"The webhook at {parts.netloc} cannot be reached: {type(error).__name__}") from None
    finally:
        connection.close()
    if 200 <= response.status < 300:
        return
    reason = f"The webhook at {parts.netloc} returned {response.status}"
    raise (WebhookError if response.status in RETRYABLE_STATUSES else WebhookRefused)(reason)


@functools.cache
def _tls() -> ssl.SSLContext:
    import ssl

    return ssl.create_default_context()
