"""A presigned POST of POST /uploads permits exactly one object: S3 refuses other sizes, keys, types and times."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from typing import Any

import pytest

from hearth.async_inference import presign
from hearth.aws.s3 import Bucket
from tests.template.local_stack import Stack
from tests.template.matrix import assume_role, roles

DATA = b"a wonderful film"
UPLOAD_REQUEST = {"model": "sentiment-en", "content_type": "text/plain", "size": len(DATA)}


@pytest.fixture
def fields(stack: Stack) -> dict[str, str]:
    status, body = stack.call("POST", "/uploads", json.dumps(UPLOAD_REQUEST).encode())
    assert status == 201, body
    return dict(json.loads(body)["fields"])


def put(stack: Stack, fields: dict[str, str], data: bytes = DATA) -> tuple[int, str]:
    """Send the form and return status and S3's error code."""
    boundary = "b0undary"
    body = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ).encode()
    body += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'.encode()
    body += data + f"\r\n--{boundary}--\r\n".encode()
    request = urllib.request.Request(f"{stack.aws.url}/{stack.outputs['UploadBucketName']}", body)
    request.add_header("Content-Type", f"multipart/form-data; boundary={boundary}")
    try:
        with urllib.request.urlopen(
            request, timeout=20, context=ssl.create_default_context(cafile=str(stack.aws.certificate))
        ) as response:
            return response.status, ""
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        return error.code, text.partition("<Code>")[2].partition("</Code>")[0]


def test_the_requested_upload_is_accepted(stack: Stack, fields: dict[str, str]) -> None:
    assert put(stack, fields) == (204, "")


@pytest.mark.parametrize(
    ("data", "code"),
    [(DATA + b"!", "EntityTooLarge"), (DATA * 100_000, "EntityTooLarge"), (b"", "EntityTooSmall")],
    ids=["one byte too many", "far too many", "empty"],
)
def test_another_size_is_refused(stack: Stack, fields: dict[str, str], data: bytes, code: str) -> None:
    assert put(stack, fields, data) == (400, code)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("key", "uploads/resnet20-cifar10/0123"),
        ("key", "models/sentiment-en/aliases.json"),
        ("Content-Type", "text/html"),
        ("acl", "public-read"),
        ("x-amz-signature", "0" * 64),
    ],
)
def test_another_form_is_refused(stack: Stack, fields: dict[str, str], field: str, value: str) -> None:
    assert put(stack, fields | {field: value})[0] == 403


def test_a_widened_policy_is_refused(stack: Stack, fields: dict[str, str]) -> None:
    policy: dict[str, Any] = json.loads(base64.b64decode(fields["policy"]))
    policy["conditions"] = [
        ["content-length-range", 1, 10**9] if "content-length-range" in condition else condition
        for condition in policy["conditions"]
    ]
    widened = base64.b64encode(json.dumps(policy).encode()).decode()
    assert put(stack, fields | {"policy": widened}, DATA + b"!")[0] == 403


def test_a_form_expires(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = assume_role(stack, roles(stack)["Catalog"])
    environ = {
        "AWS_ACCESS_KEY_ID": credentials.access,
        "AWS_SECRET_ACCESS_KEY": credentials.secret,
        "AWS_SESSION_TOKEN": credentials.token,
    }
    environ |= {"AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": stack.aws.url}
    bucket = Bucket(stack.outputs["UploadBucketName"], environ)
    now = presign.time.time()
    statuses = []
    for age in (0, presign.LIFETIME_SECONDS + 1):
        monkeypatch.setattr(presign.time, "time", lambda age=age: now - age)
        form, _ = presign.presigned_post(bucket, "uploads/sentiment-en/expires", "text/plain", len(DATA), environ)
        monkeypatch.undo()
        statuses.append(put(stack, form)[0])
    assert statuses == [204, 403]
