"""What a form for S3 and a path of the local server permit, and for how long."""

from __future__ import annotations

import base64
import json
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from hearth.async_inference import presign
from hearth.async_inference.presign import LIFETIME_SECONDS, presigned_post, signed_path, verify_signed_path
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


def query_of(path: str) -> dict[str, str]:
    return {name: value[0] for name, value in parse_qs(urlsplit(path).query).items()}


def test_a_path_permits_what_was_signed() -> None:
    path, expires = signed_path("u1.m", "uploads/m/ü&x=1", "image/svg+xml", 100)
    assert path.startswith("/uploads/u1.m?key=uploads%2Fm%2F%C3%BC%26x%3D1&type=image%2Fsvg%2Bxml&size=100&expires=")
    assert expires == int(NOW) + LIFETIME_SECONDS
    permission = verify_signed_path(query_of(path))
    assert permission[:4] == ("uploads/m/ü&x=1", "image/svg+xml", 100, expires)
    assert permission.signature == query_of(path)["signature"]


@pytest.mark.parametrize(
    "change",
    [
        {"key": "other"},
        {"type": "x/y"},
        {"size": "101"},
        {"expires": "9999999999"},
        {"signature": "0" * 64},
        {"signature": "ü"},
    ],
)
def test_a_changed_path_is_refused(change: dict[str, str]) -> None:
    query = query_of(signed_path("u1.m", "key", "text/plain", 100)[0])
    with pytest.raises(Forbidden, match="not one that POST /uploads returned"):
        verify_signed_path(query | change)
    for name in query:
        with pytest.raises(Forbidden, match="not one that POST /uploads returned"):
            verify_signed_path({other: value for other, value in query.items() if other != name})


def test_a_path_expires(clock: pytest.MonkeyPatch) -> None:
    query = query_of(signed_path("u1.m", "key", "text/plain", 100)[0])
    end = int(NOW) + LIFETIME_SECONDS
    clock.setattr(time, "time", lambda: end)
    assert verify_signed_path(query).max_bytes == 100
    clock.setattr(time, "time", lambda: end + 0.1)
    with pytest.raises(Forbidden, match="has expired; request another with POST /uploads"):
        verify_signed_path(query)


def test_another_process_does_not_accept_a_path(clock: pytest.MonkeyPatch) -> None:
    query = query_of(signed_path("u1.m", "key", "text/plain", 100)[0])
    clock.setattr(presign, "_SECRET", bytes(32))
    with pytest.raises(Forbidden):
        verify_signed_path(query)
