"""What a form for S3 and a form for the local server permit, and for how long."""

from __future__ import annotations

import base64
import json
import time

import pytest

from hearth.async_inference import presign
from hearth.async_inference.presign import LIFETIME_SECONDS, presigned_post, signed_form, verify_form
from hearth.aws.s3 import Bucket
from hearth.errors import Forbidden

NOW = 1_800_000_000.7
KEYS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-west-1"}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(time, "time", lambda: NOW)
    return monkeypatch


@pytest.mark.parametrize("token", ["", "session"])
def test_a_form_permits_one_key_type_and_size_for_a_while(token: str) -> None:
    environ = KEYS | ({"AWS_SESSION_TOKEN": token} if token else {})
    fields, expires = presigned_post(Bucket("inbox", environ), "uploads/m/u1", "text/plain", 100, environ)
    assert expires == int(NOW) + LIFETIME_SECONDS
    policy = json.loads(base64.b64decode(fields["policy"]))
    assert policy["expiration"] == "2027-01-15T08:15:00Z" == presign.isoformat(expires)
    signed = {name: value for name, value in fields.items() if name not in ("policy", "x-amz-signature")}
    assert policy["conditions"] == [
        {"bucket": "inbox"},
        ["content-length-range", 1, 100],
        *({name: value} for name, value in signed.items()),
    ]
    assert signed == {
        "key": "uploads/m/u1",
        "Content-Type": "text/plain",
        "x-amz-algorithm": "AWS4-HMAC-SHA256",
        "x-amz-credential": "AKID/20270115/eu-west-1/s3/aws4_request",
        "x-amz-date": "20270115T080000Z",
    } | ({"x-amz-security-token": "session"} if token else {})


def test_a_forms_signature_is_that_of_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK signs another policy text; its signature of our policy must be ours."""
    from botocore.auth import S3SigV4PostAuth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    fields, _ = presigned_post(Bucket("inbox", KEYS), "uploads/m/u1", "text/plain", 100, KEYS)
    signer = S3SigV4PostAuth(Credentials("AKID", "secret"), "s3", "eu-west-1")
    request = AWSRequest("POST", "https://x")
    request.context["timestamp"] = fields["x-amz-date"]
    assert signer.signature(fields["policy"], request) == fields["x-amz-signature"]


def test_a_local_form_permits_what_was_signed() -> None:
    fields, expires = signed_form("uploads/m/ü&x=1", "image/svg+xml", 100)
    assert expires == int(NOW) + LIFETIME_SECONDS
    assert verify_form(fields) == ("uploads/m/ü&x=1", "image/svg+xml", 100, expires, fields["x-hearth-signature"])


@pytest.mark.parametrize(
    "change",
    [
        {"key": "other"},
        {"Content-Type": "x/y"},
        {"x-hearth-size": "101"},
        {"x-hearth-expires": "9999999999"},
        {"x-hearth-signature": "0" * 64},
        {"x-hearth-signature": "ü"},
    ],
)
def test_a_changed_local_form_is_refused(change: dict[str, str]) -> None:
    fields, _ = signed_form("key", "text/plain", 100)
    with pytest.raises(Forbidden, match="not those that POST /uploads returned"):
        verify_form(fields | change)
    for name in fields:
        with pytest.raises(Forbidden, match="not those that POST /uploads returned"):
            verify_form({other: value for other, value in fields.items() if other != name})


def test_a_local_form_expires(clock: pytest.MonkeyPatch) -> None:
    fields, end = signed_form("key", "text/plain", 100)
    clock.setattr(time, "time", lambda: end)
    assert verify_form(fields).max_bytes == 100
    clock.setattr(time, "time", lambda: end + 0.1)
    with pytest.raises(Forbidden, match="has expired; request another with POST /uploads"):
        verify_form(fields)


def test_another_process_does_not_accept_a_form(clock: pytest.MonkeyPatch) -> None:
    fields, _ = signed_form("key", "text/plain", 100)
    clock.setattr(presign, "_SECRET", bytes(32))
    with pytest.raises(Forbidden):
        verify_form(fields)
