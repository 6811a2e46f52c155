"""The page's files, from the local server and from the catalog function."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from hearth import settings
from hearth.http import playground
from hearth.protocols.compression import MIN_BYTES
from hearth_build.cli import serve
from hearth_functions.catalog import app as catalog
from tests.runtime.aws_lambda.test_handler import CONTEXT, rest_v1_event

FOLDER = Path(catalog.__file__).parent / "page"
STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
Get = Callable[[str], tuple[int, dict[str, str], bytes]]


@pytest.fixture
def client(serving: Path) -> Iterator[TestClient]:
    with TestClient(serve.app()) as client:
        yield client


@pytest.fixture(params=["local", "catalog"])
def get(request: pytest.FixtureRequest, client: TestClient) -> Get:
    """Return a function that takes a path and returns status, headers and body."""

    def get_from_server(path: str) -> tuple[int, dict[str, str], bytes]:
        response = client.get(path)
        return response.status_code, dict(response.headers), response.content

    def get_from_function(path: str) -> tuple[int, dict[str, str], bytes]:
        event = rest_v1_event(path, method="GET")
        event["multiValueHeaders"]["accept-encoding"] = ["gzip"]
        response = catalog.handler(event, CONTEXT)
        body = response["body"].encode()
        multi_value = {name: values[0] for name, values in response.get("multiValueHeaders", {}).items()}
        headers = {name.lower(): value for name, value in {**multi_value, **response.get("headers", {})}.items()}
        body = base64.b64decode(body) if response["isBase64Encoded"] else body
        if headers.get("content-encoding") == "gzip":
            body = zlib.decompress(body, 31)
        return response["statusCode"], headers, body

    return get_from_server if request.param == "local" else get_from_function


def test_every_file_is_served(get: Get) -> None:
    status, headers, index = get("/")
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-cache"
    (digest,) = set(re.findall(r'"page/([0-9a-f]{16})/', index.decode()))
    assert re.sub(f"page/{digest}/", "page/", index.decode()) == (FOLDER / "index.html").read_text()
    content_types = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".jpg": "image/jpeg"}
    for path in FOLDER.iterdir():
        if path.name == "index.html":
            continue
        status, headers, body = get(f"/page/{digest}/{path.name}")
        if path.suffix == ".js" and path.name not in ("main.js", "theme.js"):
            assert status == 404, "modules are part of main.js"
            continue
        assert status == 200, path.name
        if path.name == "main.js":
            assert body.count(b"// bench.js\n") == 1
        else:
            assert body == path.read_bytes(), path.name
        assert headers["content-type"].startswith(content_types.get(path.suffix, headers["content-type"]))
        assert "immutable" in headers["cache-control"]
        assert headers["content-security-policy"] == STRICT
        assert headers["x-content-type-options"] == "nosniff"
        is_compressed = headers.get("content-encoding") == "gzip"
        assert is_compressed is (path.suffix in (".js", ".css") and path.stat().st_size >= MIN_BYTES), path.name
    assert get("/page/another/main.js")[1]["cache-control"] == "no-store"


def test_any_other_path_is_404(get: Get) -> None:
    for name in ("app.py", "..%2fapp.py", "%2e%2e%2fapp.py", "..", "index.html", "main.js%00", "../../app.py"):
        status, headers, body = get(f"/page/x/{name}")
        assert status == 404, name
        assert headers["content-type"] == "application/json"
        assert b"import" not in body


def test_an_unchanged_index_is_304(client: TestClient) -> None:
    first = client.get("/")
    second = client.get("/", headers={"If-None-Match": f'W/"old", {first.headers["etag"]}'})
    assert (second.status_code, second.content) == (304, b"")
    assert second.headers["content-security-policy"] == STRICT
    assert client.get("/", headers={"If-None-Match": '"old"'}).status_code == 200


def test_the_page_is_small_and_uses_no_other_host() -> None:
    files = [path for path in FOLDER.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 260_000
    for path in files:
        if path.suffix in (".js", ".css", ".html", ".svg"):
            text = path.read_text()
            assert set(re.findall(r"https?://[^\s\"'`)]+", text)) <= {"http://www.w3.org/2000/svg"}, path.name
            if path.suffix == ".html":
                assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text)


def test_the_page_may_send_files_to_the_bucket_of_uploads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_UPLOADS", "s3://inbox")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    settings.get.cache_clear()
    policy = playground.security_headers()["Content-Security-Policy"]
    assert "connect-src 'self' http://127.0.0.1:9/inbox/;" in policy
    settings.get.cache_clear()
