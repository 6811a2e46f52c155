"""The middleware that answers preflights, marks responses, and refuses what another page may have sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from hearth import settings
from hearth.errors import HearthError
from hearth.http.origin_check import OriginCheck

PAGE = "https://page.example"


def answer(request: Request) -> Response:
    return PlainTextResponse("answered", headers={"x-own": "1"})


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await socket.close()


def refuse(request: Request, error: HearthError) -> Response:
    return PlainTextResponse(f"{request.url.path}: {error.message}", error.status)


@pytest.fixture
def client_for(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., TestClient]]:
    """A client of an app behind the middleware; `host` is None on Lambda."""

    def make(host: str | None, origins: str = "", allowed_hosts: str = "") -> TestClient:
        monkeypatch.setenv("HEARTH_CORS_ORIGINS", origins)
        monkeypatch.setenv("HEARTH_ALLOWED_HOSTS", allowed_hosts)
        settings.get.cache_clear()
        app = Starlette(routes=[Route("/x", answer, methods=["GET", "OPTIONS"]), WebSocketRoute("/talk", talk)])
        return TestClient(OriginCheck(app, refuse, host), base_url="http://localhost")

    yield make
    settings.get.cache_clear()


PREFLIGHT = {"origin": PAGE, "access-control-request-method": "POST"}


def test_a_preflight_of_an_allowed_page_is_answered_here(client_for: Callable[..., TestClient]) -> None:
    for host in ("127.0.0.1", None):
        response = client_for(host, PAGE).options("/x", headers=PREFLIGHT)
        assert (response.status_code, response.content) == (204, b"")
        assert response.headers["access-control-allow-origin"] == PAGE
        assert "x-own" not in response.headers


def test_a_preflight_of_another_page_is_refused(client_for: Callable[..., TestClient]) -> None:
    response = client_for(None).options("/x", headers=PREFLIGHT)
    assert (response.status_code, response.text[:4]) == (403, "/x: ")


def test_an_ordinary_options_request_reaches_the_app(client_for: Callable[..., TestClient]) -> None:
    assert client_for(None, PAGE).options("/x").text == "answered"


def test_responses_to_an_allowed_page_are_marked_and_keep_their_headers(client_for: Callable[..., TestClient]) -> None:
    response = client_for("127.0.0.1", PAGE).get("/x", headers={"origin": PAGE})
    assert (response.text, response.headers["x-own"]) == ("answered", "1")
    assert response.headers["access-control-allow-origin"] == PAGE
    assert response.headers["vary"] == "Origin"
    plain = client_for("127.0.0.1").get("/x")
    assert plain.text == "answered"
    assert not {name for name in plain.headers if name.startswith("access-control") or name == "vary"}


def test_the_local_server_refuses_foreign_pages_and_hosts(client_for: Callable[..., TestClient]) -> None:
    client = client_for("127.0.0.1")
    assert client.get("/x", headers={"origin": PAGE}).status_code == 403
    response = client.get("/x", headers={"host": "rebound.example"})
    assert response.status_code == 400
    assert "HEARTH_ALLOWED_HOSTS" in response.text
    assert (
        client_for("127.0.0.1", "", "rebound.example").get("/x", headers={"host": "rebound.example"}).text == "answered"
    )


def test_a_function_is_called_by_any_host_and_page(client_for: Callable[..., TestClient]) -> None:
    """API Gateway has its own names, and CORS is all that protects its callers."""
    assert client_for(None).get("/x", headers={"host": "any.example", "origin": PAGE}).text == "answered"


def test_what_is_not_http_passes(client_for: Callable[..., TestClient]) -> None:
    with client_for("127.0.0.1").websocket_connect("/talk") as socket:
        assert socket.receive_text() == "hello"
