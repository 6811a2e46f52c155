"""A page of another origin in a real browser: it may use a local server only if HEARTH_CORS_ORIGINS has its origin."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hearth_build import ZOO
from tests.browser.conftest import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CALL = """async ([address, method, path, headers, body]) => {
    try {
        const response = await fetch(address + path, {method, headers, body});
        return {status: response.status, id: response.headers.get("x-request-id"), text: await response.text()};
    } catch (error) {
        return {refused: String(error)};
    }
}"""
JSON = {"content-type": "application/json", "authorization": "Bearer none", "x-api-key": "none"}
REVIEW = '{"inputs": "A wonderful film."}'
WORKED = '"model":"sentiment-en"'
"""What the log has of a request to the model."""
STREAM = '{"inputs": "ROMEO:", "parameters": {"max_new_tokens": 3}, "stream": true}'


@pytest.fixture
def page_origin(tmp_path: Path) -> Iterator[str]:
    """The origin of a server with an empty page."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www/index.html").write_text("<!doctype html><title>shop</title>")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


@contextmanager
def calling(browser: Browser, origin: str) -> Iterator[Any]:
    """Yield a function that calls a server from the page."""
    page = browser.new_page()
    page.goto(origin)
    yield lambda *arguments: page.evaluate(CALL, list(arguments))
    page.close()


@pytest.mark.one_browser
def test_a_page_of_an_allowed_origin_uses_the_server(browser: Browser, page_origin: str, tmp_path: Path) -> None:
    with serving(ZOO, tmp_path, HEARTH_CORS_ORIGINS=page_origin) as address, calling(browser, page_origin) as call:
        answer = call(address, "POST", "models/sentiment-en", JSON, REVIEW)  # the browser sends a preflight request
        assert answer["status"] == 200, answer
        assert "positive" in answer["text"]
        assert WORKED in (tmp_path / "log").read_text()
        assert answer["id"], "the page may read our headers"
        assert "sentiment-en" in call(address, "GET", "v1/models", {}, None)["text"]
        streamed = call(address, "POST", "models/gpt-shakespeare", JSON, STREAM)
        assert streamed["text"].count("data:") == 3
        assert call(address, "POST", "models/none", JSON, REVIEW)["status"] == 404, "errors can be read too"
        assert call(address, "DELETE", "results/x", JSON, None)["status"] == 404


@pytest.mark.one_browser
def test_a_page_of_another_origin_can_neither_call_nor_read(browser: Browser, page_origin: str, tmp_path: Path) -> None:
    with (
        serving(ZOO, tmp_path, HEARTH_CORS_ORIGINS="https://shop.example") as address,
        calling(browser, page_origin) as call,
    ):
        assert "refused" in call(address, "POST", "models/sentiment-en", JSON, REVIEW)
        assert "refused" in call(address, "POST", "models/sentiment-en", {"content-type": "text/plain"}, REVIEW)
        assert "refused" in call(address, "GET", "models", {}, None)
    assert WORKED not in (tmp_path / "log").read_text(), "a request without a preflight did no work"
