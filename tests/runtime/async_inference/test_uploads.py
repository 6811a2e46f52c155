"""Large inputs end to end: leave to upload, the upload, the result, the call by reference; at three stores."""

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
from tests.functions.test_predict import picture
from tests.runtime.aws_lambda.test_handler import http_v2, rest
from tests.support.emulator import free_port
from tests.support.s3 import s3_of_this_process
from tests.template.local_stack import KEYS, Aws

CONTEXT = SimpleNamespace(aws_request_id="request-1", function_name="f", memory_limit_in_mb=512)
uploads = SimpleNamespace(handler=create_handler(()))
WISH = {"model": "sentiment-en", "content_type": "text/plain", "size": 100}


@pytest.fixture
def s3(serving: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Buckets `inbox` and `outbox`, which keep versions, and a process that is set to use them."""
    variables = {"HEARTH_UPLOADS": "s3://inbox", "HEARTH_OUTPUT": "s3://outbox/results"}
    with s3_of_this_process(monkeypatch, ("inbox", "outbox"), versions=True, **variables) as s3:
        yield s3


def ask(
    function: Any, path: str, body: Any = None, method: str = "POST", *, tenant: str = ""
) -> tuple[int, Any, dict[str, str]]:
    """Status, document and headers of a function's answer to a REST event of the API key `tenant`."""
    event = rest(path, b"" if body is None else json.dumps(body).encode(), method)
    event["requestContext"]["identity"] = {"apiKeyId": tenant} if tenant else {}
    answer = function.handler(event, CONTEXT)
    return answer["statusCode"], json.loads(answer["body"] or "null"), answer["headers"]


def form(url: str, fields: dict[str, str], data: bytes, context: Any = None) -> int:
    """Post `data` as a browser's form does; the status."""
    boundary = "b0undary"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'.encode())
    body = b"".join([*parts, data, f"\r\n--{boundary}--\r\n".encode()])
    request = urllib.request.Request(url, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})
    try:
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def created(s3: Any, key: str) -> dict[str, Any]:
    """The event that S3 sends of an object that is there."""
    head = s3.head_object(Bucket="inbox", Key=key)
    thing = {"key": key, "etag": head["ETag"].strip('"'), "size": head["ContentLength"], "sequencer": "01"}
    detail = {"bucket": {"name": "inbox"}, "object": thing}
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}


def test_an_upload_its_result_and_their_removal(s3: Any) -> None:
    status, ticket, headers = ask(uploads, "/uploads", WISH)
    assert (status, headers["cache-control"]) == (201, "no-store")
    place = f"/results/{ticket['id']}"
    assert ask(uploads, place, method="GET")[0] == 404, "nothing was uploaded yet"
    assert form(ticket["url"], ticket["fields"], b"i love this") == 204
    status, waiting, headers = ask(uploads, place, method="GET")
    assert (status, waiting["status"], headers["retry-after"]) == (202, "waiting", "2")
    assert text.handler(created(s3, ticket["key"]), CONTEXT) == {}
    status, document, _ = ask(uploads, place, method="GET")
    assert status == 200
    assert document["output"][0][0]["label"] == "positive"
    assert ask(uploads, place, method="DELETE")[0] == 204
    assert ask(uploads, place, method="GET")[0] == 404
    for bucket in ("inbox", "outbox"):
        kept = s3.list_object_versions(Bucket=bucket)
        assert not kept.get("Versions")
        assert not kept.get("DeleteMarkers")


def test_a_call_by_reference(s3: Any) -> None:
    ticket = ask(uploads, "/uploads", {"model": "resnet20-cifar10", "content_type": "image/png", "size": 10_000})[1]
    call = {"inputs": {"upload": ticket["id"]}, "parameters": {"top_k": 1}}
    assert ask(image, "/models/resnet20-cifar10", call)[0] == 404
    form(ticket["url"], ticket["fields"], picture())
    for path in (
        "/models/resnet20-cifar10",
        "/models/resnet20-cifar10@1",
        "/pipeline/image-classification/resnet20-cifar10",
    ):
        status, document, _ = ask(image, path, call)
        assert (status, [score["label"] for score in document]) == (200, ["red"]), path
    event = http_v2("/models/resnet20-cifar10", json.dumps(call).encode())
    assert image.handler(event, CONTEXT)["statusCode"] == 200


def test_a_call_by_reference_to_json_takes_the_calls_parameters(s3: Any) -> None:
    ticket = ask(uploads, "/uploads", WISH | {"content_type": "application/json"})[1]
    form(ticket["url"], ticket["fields"], b'{"inputs": ["good", "awful"], "parameters": {"top_k": 2}}')
    status, document, _ = ask(text, "/models/sentiment-en", {"inputs": {"upload": ticket["id"]}})
    assert (status, [len(scores) for scores in document]) == (200, [2, 2])
    more = {"inputs": {"upload": ticket["id"]}, "parameters": {"top_k": 1}}
    assert [len(scores) for scores in ask(text, "/models/sentiment-en", more)[1]] == [1, 1]


@pytest.mark.parametrize(
    ("change", "status", "words"),
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
def test_what_may_not_be_uploaded(s3: Any, change: dict[str, Any], status: int, words: str) -> None:
    answer = ask(uploads, "/uploads", WISH | change)
    assert (answer[0], words in answer[1]["error"]) == (status, True), answer


@pytest.mark.parametrize("name", ["x", "u0", "u" + "0" * 32, f"u{'0' * 32}.a%2F..%2Fb", f"v{'0' * 32}.sentiment-en"])
def test_what_is_no_id_is_not_found(s3: Any, name: str) -> None:
    for method in ("GET", "DELETE"):
        assert ask(uploads, f"/results/{name}", method=method)[0] == 404
    if "%" not in name:
        assert ask(text, "/models/sentiment-en", {"inputs": {"upload": name}})[0] == 404


def test_an_upload_is_for_one_model(s3: Any) -> None:
    ticket = ask(uploads, "/uploads", WISH)[1]
    form(ticket["url"], ticket["fields"], picture())
    status, document, _ = ask(image, "/models/resnet20-cifar10", {"inputs": {"upload": ticket["id"]}})
    assert (status, document["error"]) == (400, "This upload is for sentiment-en")


def test_an_id_belongs_to_its_tenant(s3: Any) -> None:
    ticket = ask(uploads, "/uploads", WISH, tenant="alice")[1]
    form(ticket["url"], ticket["fields"], b"i love this")
    assert text.handler(created(s3, ticket["key"]), CONTEXT) == {}
    place, call = f"/results/{ticket['id']}", {"inputs": {"upload": ticket["id"]}}
    for other in ("bob", ""):
        assert ask(uploads, place, method="GET", tenant=other)[0] == 404
        assert ask(text, "/models/sentiment-en", call, tenant=other)[0] == 404
        ask(uploads, place, method="DELETE", tenant=other)
    assert ask(uploads, place, method="GET", tenant="alice")[0] == 200
    assert ask(text, "/models/sentiment-en", call, tenant="alice")[0] == 200


def test_without_a_place_there_are_no_uploads(serving: Path) -> None:
    for path, body, method in (("/uploads", WISH, "POST"), (f"/results/u{'0' * 32}.sentiment-en", None, "GET")):
        status, document, _ = ask(uploads, path, body, method)
        assert (status, "HEARTH_UPLOADS" in document["error"]) == (404, True)


# What S3 itself refuses, at an S3 that checks


@pytest.fixture(scope="module")
def inbox(aws: Aws) -> Aws:
    aws.client("s3").create_bucket(Bucket="h5-inbox")
    return aws


@pytest.fixture
def ticket(inbox: Aws, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, dict[str, str]]]:
    """Address and fields of a form for 10 bytes of text."""
    environment = {
        "AWS_ACCESS_KEY_ID": KEYS["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": KEYS["aws_secret_access_key"],
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": inbox.url,
    }

    def make(key: str) -> tuple[str, dict[str, str]]:
        bucket = Bucket("h5-inbox", environment)
        return bucket.url, presign.presigned_post(bucket, key, "text/plain", 10, environment)[0]

    return make


def test_a_form_puts_so_many_bytes_at_one_key(inbox: Aws, ticket: Callable[..., Any]) -> None:
    import ssl

    context = ssl.create_default_context(cafile=str(inbox.certificate))
    s3 = inbox.client("s3")
    url, fields = ticket("uploads/a")
    assert form(url, fields, b"0123456789", context) == 204
    assert s3.get_object(Bucket="h5-inbox", Key="uploads/a")["Body"].read() == b"0123456789"
    url, fields = ticket("uploads/b")
    refused = {
        "too long": (fields, b"0123456789x"),
        "empty": (fields, b""),
        "another key": (fields | {"key": "uploads/c"}, b"0"),
        "another type": (fields | {"Content-Type": "text/html"}, b"0"),
        "another policy": (fields | {"policy": _widened(fields["policy"])}, b"0123456789x"),
        "no signature": ({name: value for name, value in fields.items() if name != "x-amz-signature"}, b"0"),
    }
    statuses = {words: form(url, *sent, context) for words, sent in refused.items()}
    assert all(400 <= status < 500 for status in statuses.values()), statuses
    assert "Contents" not in s3.list_objects_v2(Bucket="h5-inbox", Prefix="uploads/b")
    assert "Contents" not in s3.list_objects_v2(Bucket="h5-inbox", Prefix="uploads/c")


def test_a_form_expires(inbox: Aws, ticket: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import ssl

    context = ssl.create_default_context(cafile=str(inbox.certificate))
    monkeypatch.setattr(presign, "LIFETIME_SECONDS", 1)
    url, fields = ticket("uploads/late")
    time.sleep(2.1)
    assert form(url, fields, b"0", context) == 403


def _widened(policy: str) -> str:
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


def wish(server: TestClient, **change: Any) -> Any:
    answer = server.post("/uploads", json=WISH | change)
    assert answer.status_code == 201, answer.text
    return answer.json()


def put(server: TestClient, ticket: Any, data: Any) -> Any:
    return server.request(ticket["method"], ticket["url"], content=data, headers=ticket["headers"])


def test_the_local_server_answers_what_is_uploaded(server: TestClient, tmp_path: Path) -> None:
    data = picture()
    ticket = wish(server, model="resnet20-cifar10", content_type="image/png", size=len(data))
    assert put(server, ticket, data).status_code == 200
    deadline = time.monotonic() + 20
    while (answer := server.get(f"/results/{ticket['id']}")).status_code == 202:
        assert answer.headers["retry-after"] == "2"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    document = answer.json()
    assert document["output"][0]["label"] == "red"
    assert document["input"]["etag"] == hashlib.sha256(data).hexdigest()
    call = {"inputs": {"upload": ticket["id"]}, "parameters": {"top_k": 1}}
    assert server.post("/models/resnet20-cifar10", json=call).json()[0]["label"] == "red"
    assert server.delete(f"/results/{ticket['id']}").status_code == 204
    assert server.get(f"/results/{ticket['id']}").status_code == 404
    assert not [path for path in tmp_path.glob("in/**/*") if path.is_file()]


def test_the_local_server_tells_why_there_is_no_result(server: TestClient) -> None:
    ticket = wish(server, model="resnet20-cifar10", content_type="image/png")
    assert put(server, ticket, b"no picture").status_code == 200
    deadline = time.monotonic() + 20
    while (answer := server.get(f"/results/{ticket['id']}")).status_code == 202:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("unsupported_media: The model does not support")
    assert server.delete(f"/results/{ticket['id']}").status_code == 204
    assert server.get(f"/results/{ticket['id']}").status_code == 404


def test_the_local_server_refuses_as_s3_does(
    server: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = wish(server, size=10)
    assert put(server, ticket, iter([b"01234", b"56789", b"x"])).status_code == 413
    assert put(server, ticket, b"").status_code == 400
    html = server.put(ticket["url"], content=b"0", headers={"content-type": "text/html"})
    assert html.status_code == 415
    for old, new in (("size=10", "size=99"), ("sentiment-en", "resnet20-cifar10"), ("type=text%2Fplain", "type=a%2Fb")):
        changed = ticket | {"url": ticket["url"].replace(old, new)}
        assert changed != ticket
        assert put(server, changed, b"0").status_code == 403, new
    assert put(server, ticket | {"url": f"/uploads/{ticket['id']}"}, b"0").status_code == 403
    monkeypatch.setattr(time, "time", lambda now=time.time: now() + presign.LIFETIME_SECONDS + 1)
    assert put(server, ticket, b"0").status_code == 403
    assert not [path for path in tmp_path.glob("in/**/*") if path.is_file()]


def test_the_documentation_describes_the_routes(server: TestClient) -> None:
    paths = server.get("/openapi.json").json()["paths"]
    assert "201" in paths["/uploads"]["post"]["responses"]
    assert {"200", "202", "404"} <= set(paths["/results/{id}"]["get"]["responses"])
    assert "content" not in paths["/results/{id}"]["delete"]["responses"]["204"]


def test_a_413_names_the_way(server: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_MAX_BODY_MB", "0.001")
    settings.get.cache_clear()
    answer = server.post("/models/sentiment-en", json={"inputs": "x" * 2000})
    assert (answer.status_code, "POST /uploads" in answer.json()["error"]) == (413, True)


def test_hearth_serve_takes_uploads_and_leaves_nothing(serving: Path, tmp_path: Path) -> None:
    port, scratch = free_port(), tmp_path / "scratch"
    scratch.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEARTH_")}
    environment |= {"TMPDIR": str(scratch), "HEARTH_CACHE_DIR": str(tmp_path / "cache")}
    code = f"from hearth_build.cli.serve import serve; serve('file://{serving}', '127.0.0.1', {port})"
    server = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    try:
        with httpx2.Client(base_url=base) as client:
            ticket = _until(lambda: _posted(client), 201).json()
            put = client.put(urljoin(base, ticket["url"]), content=b"i love this", headers=ticket["headers"])
            assert put.status_code == 200
            answer = _until(lambda: client.get(f"/results/{ticket['id']}"), 200)
            assert answer.json()["output"][0][0]["label"] == "positive"
            assert list(scratch.glob("hearth-*"))
    finally:
        server.terminate()
        assert server.wait(20) == 0
    assert not list(scratch.glob("hearth-*"))


def _posted(client: httpx2.Client) -> httpx2.Response | None:
    try:
        return client.post("/uploads", json=WISH)
    except httpx2.ConnectError:
        return None


def _until(get: Callable[[], Any], status: int) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = get()
        if answer is not None and answer.status_code == status:
            return answer
        time.sleep(0.1)
    raise TimeoutError("the server did not answer")
