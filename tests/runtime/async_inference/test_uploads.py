"""Large inputs end to end: create an upload, send it, get the result, call by reference; on three stores."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urljoin

import httpx2
import pytest
from starlette.testclient import TestClient

from hearth import settings
from hearth.async_inference import presign
from hearth.aws.s3 import Bucket
from hearth.aws_lambda.handler import create_handler
from hearth_build.cli import serve
from hearth_functions.image_classification import app as image
from hearth_functions.text_classification import app as text
from tests.runtime.aws_lambda.test_handler import http_v2_event, rest_v1_event
from tests.support.emulator import free_port
from tests.support.pictures import picture
from tests.support.s3 import s3_of_this_process
from tests.template.local_stack import KEYS, Aws

CONTEXT = SimpleNamespace(aws_request_id="request-1", function_name="f", memory_limit_in_mb=512)
uploads = SimpleNamespace(handler=create_handler(()))
UPLOAD_REQUEST = {"model": "sentiment-en", "content_type": "text/plain", "size": 100}


@pytest.fixture
def s3(serving: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The versioned buckets `inbox` and `outbox`; this process is configured to use them."""
    variables = {"HEARTH_UPLOADS": "s3://inbox", "HEARTH_OUTPUT": "s3://outbox/results"}
    with s3_of_this_process(monkeypatch, ("inbox", "outbox"), versions=True, **variables) as s3:
        yield s3


def ask(
    function: Any, path: str, body: Any = None, method: str = "POST", *, tenant: str = ""
) -> tuple[int, Any, dict[str, str]]:
    """Send a REST event of the API key `tenant`; return status, document and headers of the response."""
    event = rest_v1_event(path, b"" if body is None else json.dumps(body).encode(), method)
    event["requestContext"]["identity"] = {"apiKeyId": tenant} if tenant else {}
    response = function.handler(event, CONTEXT)
    return response["statusCode"], json.loads(response["body"] or "null"), response["headers"]


def post_form(url: str, fields: dict[str, str], data: bytes, context: Any = None) -> int:
    """Post `data` as a browser posts a form; return the status."""
    boundary = "b0undary"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'.encode())
    body = b"".join([*parts, data, f"\r\n--{boundary}--\r\n".encode()])
    request = urllib.request.Request(url, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})
    try:
        with urllib.request.urlopen(request, timeout=20, context=context) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def object_created_event(s3: Any, key: str) -> dict[str, Any]:
    """Return the event that S3 sends for an existing object."""
    head = s3.head_object(Bucket="inbox", Key=key)
    s3_object = {"key": key, "etag": head["ETag"].strip('"'), "size": head["ContentLength"], "sequencer": "01"}
    detail = {"bucket": {"name": "inbox"}, "object": s3_object}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}


def test_an_upload_has_a_result_and_both_can_be_deleted(s3: Any) -> None:
    status, ticket, headers = ask(uploads, "/uploads", UPLOAD_REQUEST)
    assert (status, headers["cache-control"]) == (201, "no-store")
    path = f"/results/{ticket['id']}"
    assert ask(uploads, path, method="GET")[0] == 404, "nothing was uploaded yet"
    assert post_form(ticket["url"], ticket["fields"], b"i love this") == 204
    status, pending, headers = ask(uploads, path, method="GET")
    assert (status, pending["status"], headers["retry-after"]) == (202, "waiting", "2")
    assert text.handler(object_created_event(s3, ticket["key"]), CONTEXT) == {}
    status, document, _ = ask(uploads, path, method="GET")
    assert status == 200
    assert document["output"][0][0]["label"] == "positive"
    assert ask(uploads, path, method="DELETE")[0] == 204
    assert ask(uploads, path, method="GET")[0] == 404
    for bucket in ("inbox", "outbox"):
        versions = s3.list_object_versions(Bucket=bucket)
        assert not versions.get("Versions")
        assert not versions.get("DeleteMarkers")


def test_a_call_by_reference_predicts_on_the_upload(s3: Any) -> None:
    ticket = ask(uploads, "/uploads", {"model": "resnet20-cifar10", "content_type": "image/png", "size": 10_000})[1]
    call = {"inputs": {"upload": ticket["id"]}, "parameters": {"top_k": 1}}
    assert ask(image, "/models/resnet20-cifar10", call)[0] == 404
    post_form(ticket["url"], ticket["fields"], picture())
    for path in (
        "/models/resnet20-cifar10",
        "/models/resnet20-cifar10@1",
        "/pipeline/image-classification/resnet20-cifar10",
    ):
        status, document, _ = ask(image, path, call)
        assert (status, [score["label"] for score in document]) == (200, ["red"]), path
    event = http_v2_event("/models/resnet20-cifar10", json.dumps(call).encode())
    assert image.handler(event, CONTEXT)["statusCode"] == 200


def test_a_call_by_reference_overrides_the_parameters_of_the_upload(s3: Any) -> None:
    ticket = ask(uploads, "/uploads", UPLOAD_REQUEST | {"content_type": "application/json"})[1]
    post_form(ticket["url"], ticket["fields"], b'{"inputs": ["good", "awful"], "parameters": {"top_k": 2}}')
    status, document, _ = ask(text, "/models/sentiment-en", {"inputs": {"upload": ticket["id"]}})
    assert (status, [len(scores) for scores in document]) == (200, [2, 2])
    request = {"inputs": {"upload": ticket["id"]}, "parameters": {"top_k": 1}}
    assert [len(scores) for scores in ask(text, "/models/sentiment-en", request)[1]] == [1, 1]


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"size": 0}, 400, "size"),
        ({"size": 64 * 1024 * 1024 + 1}, 413, "67108864"),
        ({"size": "5"}, 400, "size"),
        ({"content_type": "text"}, 400, "content_type"),
        ({"content_type": "text/plain\nx: y"}, 400, "content_type"),
        ({"model": "none"}, 404, "none"),
        ({"model": "sentiment-en@1"}, 400, "without a version"),
        ({"model": "../sentiment-en"}, 400, "name"),
        ({"task": "object-tracking"}, 400, "text-classification"),
        ({"key": "mine"}, 400, "key"),
    ],
)
def test_an_invalid_upload_request_is_refused(s3: Any, change: dict[str, Any], status: int, message: str) -> None:
    actual, document, _ = ask(uploads, "/uploads", UPLOAD_REQUEST | change)
    assert (actual, message in document["error"]) == (status, True), document


@pytest.mark.parametrize("name", ["x", "u0", "u" + "0" * 32, f"u{'0' * 32}.a%2F..%2Fb", f"v{'0' * 32}.sentiment-en"])
def test_an_invalid_id_is_not_found(s3: Any, name: str) -> None:
    for method in ("GET", "DELETE"):
        assert ask(uploads, f"/results/{name}", method=method)[0] == 404
    if "%" not in name:
        assert ask(text, "/models/sentiment-en", {"inputs": {"upload": name}})[0] == 404


def test_an_upload_is_for_one_model(s3: Any) -> None:
    ticket = ask(uploads, "/uploads", UPLOAD_REQUEST)[1]
    post_form(ticket["url"], ticket["fields"], picture())
    status, document, _ = ask(image, "/models/resnet20-cifar10", {"inputs": {"upload": ticket["id"]}})
    assert (status, document["error"]) == (400, "This upload is for sentiment-en")


def test_an_id_belongs_to_its_tenant(s3: Any) -> None:
    ticket = ask(uploads, "/uploads", UPLOAD_REQUEST, tenant="alice")[1]
    post_form(ticket["url"], ticket["fields"], b"i love this")
    assert text.handler(object_created_event(s3, ticket["key"]), CONTEXT) == {}
    path, call = f"/results/{ticket['id']}", {"inputs": {"upload": ticket["id"]}}
    for other in ("bob", ""):
        assert ask(uploads, path, method="GET", tenant=other)[0] == 404
        assert ask(text, "/models/sentiment-en", call, tenant=other)[0] == 404
        ask(uploads, path, method="DELETE", tenant=other)
    assert ask(uploads, path, method="GET", tenant="alice")[0] == 200
    assert ask(text, "/models/sentiment-en", call, tenant="alice")[0] == 200


def test_without_the_setting_uploads_are_404(serving: Path) -> None:
    for path, body, method in (
        ("/uploads", UPLOAD_REQUEST, "POST"),
        (f"/results/u{'0' * 32}.sentiment-en", None, "GET"),
    ):
        status, document, _ = ask(uploads, path, body, method)
        assert (status, "HEARTH_UPLOADS" in document["error"]) == (404, True)


# What S3 itself refuses, on a local S3 that checks policies


@pytest.fixture(scope="module")
def inbox(aws: Aws) -> Aws:
    aws.client("s3").create_bucket(Bucket="h5-inbox")
    return aws


@pytest.fixture
def ticket(inbox: Aws, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, dict[str, str]]]:
    """Return a function that gives address and fields of a form for 10 bytes of text at a key."""
    environment = {
        "AWS_ACCESS_KEY_ID": KEYS["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": KEYS["aws_secret_access_key"],
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": inbox.url,
    }

    def presign_form(key: str) -> tuple[str, dict[str, str]]:
        bucket = Bucket("h5-inbox", environment)
        return bucket.url, presign.presigned_post(bucket, key, "text/plain", 10, environment)[0]

    return presign_form


@pytest.mark.slow
def test_a_form_accepts_only_the_signed_size_type_and_key(inbox: Aws, ticket: Callable[..., Any]) -> None:
    import ssl

    context = ssl.create_default_context(cafile=str(inbox.certificate))
    s3 = inbox.client("s3")
    url, fields = ticket("uploads/a")
    assert post_form(url, fields, b"0123456789", context) == 204
    assert s3.get_object(Bucket="h5-inbox", Key="uploads/a")["Body"].read() == b"0123456789"
    url, fields = ticket("uploads/b")
    refused = {
        "too long": (fields, b"0123456789x"),
        "empty": (fields, b""),
        "another key": (fields | {"key": "uploads/c"}, b"0"),
        "another type": (fields | {"Content-Type": "text/html"}, b"0"),
        "another policy": (fields | {"policy": _widen_policy(fields["policy"])}, b"0123456789x"),
        "no signature": ({name: value for name, value in fields.items() if name != "x-amz-signature"}, b"0"),
    }
    statuses = {case: post_form(url, *form, context) for case, form in refused.items()}
    assert all(400 <= status < 500 for status in statuses.values()), statuses
    assert "Contents" not in s3.list_objects_v2(Bucket="h5-inbox", Prefix="uploads/b")
    assert "Contents" not in s3.list_objects_v2(Bucket="h5-inbox", Prefix="uploads/c")


@pytest.mark.slow
def test_a_form_expires(inbox: Aws, ticket: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import ssl

    context = ssl.create_default_context(cafile=str(inbox.certificate))
    monkeypatch.setattr(presign, "LIFETIME_SECONDS", 1)
    url, fields = ticket("uploads/late")
    time.sleep(2.1)
    assert post_form(url, fields, b"0", context) == 403


def _widen_policy(policy: str) -> str:
    document = json.loads(base64.b64decode(policy))
    document["conditions"][1] = ["content-length-range", 1, 10**9]
    return base64.b64encode(json.dumps(document).encode()).decode()


# The local server


@pytest.fixture
def server(serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("HEARTH_UPLOADS", f"file://{tmp_path}/in")
    monkeypatch.setenv("HEARTH_OUTPUT", f"file://{tmp_path}/out")
    settings.get.cache_clear()
    with TestClient(serve.app()) as client:
        yield client


def create_upload(server: TestClient, **change: Any) -> Any:
    response = server.post("/uploads", json=UPLOAD_REQUEST | change)
    assert response.status_code == 201, response.text
    return response.json()


def send(server: Any, ticket: Any, data: bytes, base: str = "") -> Any:
    return server.post(urljoin(base, ticket["url"]), data=ticket["fields"], files={"file": data})


def test_the_local_server_processes_an_upload(server: TestClient, tmp_path: Path) -> None:
    data = picture()
    ticket = create_upload(server, model="resnet20-cifar10", content_type="image/png", size=len(data))
    assert send(server, ticket, data).status_code == 204
    deadline = time.monotonic() + 20
    while (response := server.get(f"/results/{ticket['id']}")).status_code == 202:
        assert response.headers["retry-after"] == "2"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    document = response.json()
    assert document["output"][0]["label"] == "red"
    assert document["input"]["etag"] == hashlib.sha256(data).hexdigest()
    call = {"inputs": {"upload": ticket["id"]}, "parameters": {"top_k": 1}}
    assert server.post("/models/resnet20-cifar10", json=call).json()[0]["label"] == "red"
    assert server.delete(f"/results/{ticket['id']}").status_code == 204
    assert server.get(f"/results/{ticket['id']}").status_code == 404
    assert not [path for path in tmp_path.glob("in/**/*") if path.is_file()]


def test_the_local_server_says_why_an_upload_has_no_result(server: TestClient) -> None:
    ticket = create_upload(server, model="resnet20-cifar10", content_type="image/png")
    assert send(server, ticket, b"no picture").status_code == 204
    deadline = time.monotonic() + 20
    while (response := server.get(f"/results/{ticket['id']}")).status_code == 202:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert response.status_code == 422
    assert response.json()["error"].startswith("unsupported_media: The model does not support")
    assert server.delete(f"/results/{ticket['id']}").status_code == 204
    assert server.get(f"/results/{ticket['id']}").status_code == 404


def test_the_local_server_refuses_as_s3_does(
    server: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = create_upload(server, size=10)
    assert send(server, ticket, b"0123456789x").status_code == 413
    assert send(server, ticket, b"").status_code == 400
    assert server.post(ticket["url"], content=b"0", headers={"content-type": "text/html"}).status_code == 415
    for name, value in (("x-hearth-size", "99"), ("key", "uploads/resnet20-cifar10/u"), ("Content-Type", "a/b")):
        changed = ticket | {"fields": ticket["fields"] | {name: value}}
        assert send(server, changed, b"0").status_code == 403, name
    assert send(server, ticket | {"fields": {}}, b"0").status_code == 403
    monkeypatch.setattr(time, "time", lambda now=time.time: now() + presign.LIFETIME_SECONDS + 1)
    assert send(server, ticket, b"0").status_code == 403
    assert not [path for path in tmp_path.glob("in/**/*") if path.is_file()]


def test_openapi_describes_the_routes(server: TestClient) -> None:
    paths = server.get("/openapi.json").json()["paths"]
    assert "201" in paths["/uploads"]["post"]["responses"]
    assert {"200", "202", "404"} <= set(paths["/results/{id}"]["get"]["responses"])
    assert "content" not in paths["/results/{id}"]["delete"]["responses"]["204"]


def test_a_413_names_the_upload_route(server: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_MAX_BODY_MB", "0.001")
    settings.get.cache_clear()
    response = server.post("/models/sentiment-en", json={"inputs": "x" * 2000})
    assert (response.status_code, "POST /uploads" in response.json()["error"]) == (413, True)


@pytest.mark.slow
def test_hearth_serve_processes_uploads_and_deletes_its_files(serving: Path, tmp_path: Path) -> None:
    port, scratch = free_port(), tmp_path / "scratch"
    scratch.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEARTH_")}
    environment |= {"TMPDIR": str(scratch), "HEARTH_CACHE_DIR": str(tmp_path / "cache")}
    code = f"from hearth_build.cli.serve import serve; serve('file://{serving}', '127.0.0.1', {port})"
    server = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    try:
        with httpx2.Client(base_url=base) as client:
            ticket = _until(lambda: _try_create_upload(client), 201).json()
            assert send(client, ticket, b"i love this", base).status_code == 204
            response = _until(lambda: client.get(f"/results/{ticket['id']}"), 200)
            assert response.json()["output"][0][0]["label"] == "positive"
            assert list(scratch.glob("hearth-*"))
    finally:
        server.terminate()
        assert server.wait(20) == 0
    assert not list(scratch.glob("hearth-*"))


def _try_create_upload(client: httpx2.Client) -> httpx2.Response | None:
    try:
        return client.post("/uploads", json=UPLOAD_REQUEST)
    except httpx2.ConnectError:
        return None


def _until(get: Callable[[], Any], status: int) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        response = get()
        if response is not None and response.status_code == status:
            return response
        time.sleep(0.1)
    raise TimeoutError("the server did not answer")
