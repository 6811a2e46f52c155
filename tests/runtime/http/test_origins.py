"""Which pages and hosts may call: CORS on every server, Host and Origin on the local one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from hearth import settings
from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest, Forbidden
from hearth.http import origins
from hearth.http.asgi import create_app
from hearth_functions.text_classification import app as text
from tests.support.requests import JSON, http_event, rest_event

PAGE = "https://shop.example"
BODY = '{"inputs": "good"}'
PREFLIGHT = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type,x-api-key",
}


@pytest.fixture
def set_variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    def set_variables(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings.get.cache_clear()

    yield set_variables
    monkeypatch.undo()
    settings.get.cache_clear()


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:8000", "127.0.0.1:8000", "192.168.1.5", "[::1]:8000", "[::1]", "app.localhost:1"),
        *("box.lan:8000", "BOX.LAN", "named.example", "localhost."),
    ],
)
def test_known_hosts_are_answered(set_variables: Callable[..., None], host: str) -> None:
    set_variables(HEARTH_ALLOWED_HOSTS="named.example")
    origins.check_local({"host": host}, "box.lan")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil", "1"])
def test_a_name_that_someone_else_may_point_here_is_refused(set_variables: Callable[..., None], host: str) -> None:
    set_variables(HEARTH_ALLOWED_HOSTS="")
    with pytest.raises(BadRequest, match="HEARTH_ALLOWED_HOSTS"):
        origins.check_local({"host": host}, "0.0.0.0")


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        ("http://localhost:8000", True),
        (PAGE, True),
        ("http://localhost:9000", False),
        ("https://evil.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_foreign_pages_are_refused_unless_cors_allows_them(
    set_variables: Callable[..., None], origin: str, is_allowed: bool
) -> None:
    set_variables(HEARTH_CORS_ORIGINS=PAGE)
    headers = {"host": "localhost:8000", "origin": origin}
    if is_allowed:
        origins.check_local(headers, "127.0.0.1")
    else:
        with pytest.raises(Forbidden, match="HEARTH_CORS_ORIGINS"):
            origins.check_local(headers, "127.0.0.1")


@pytest.mark.parametrize(
    ("origins_setting", "allowed"), [(PAGE, PAGE), ("*", "*"), (f"http://a.example, {PAGE}", PAGE)]
)
def test_the_local_server_answers_preflights_and_marks_responses(
    serving: Path, set_variables: Callable[..., None], origins_setting: str, allowed: str
) -> None:
    set_variables(HEARTH_CORS_ORIGINS=origins_setting)
    with TestClient(create_app(text.TASKS, local=True)) as client:
        preflight = client.options("/models/sentiment-en", headers=PREFLIGHT)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == allowed
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert preflight.headers["access-control-allow-headers"] == "content-type,x-api-key"
        for path, status in (("/models/sentiment-en", 200), ("/models/none", 404), ("/nowhere", 404)):
            response = client.post(path, content=BODY, headers={"origin": PAGE})
            assert response.status_code == status
            assert response.headers["access-control-allow-origin"] == allowed
            assert "x-request-id" in response.headers["access-control-expose-headers"]
            assert (response.headers.get("vary") == "Origin") == (allowed != "*")


def test_a_foreign_page_is_refused_in_the_words_of_the_protocol(
    serving: Path, set_variables: Callable[..., None]
) -> None:
    set_variables(HEARTH_CORS_ORIGINS="")
    with TestClient(create_app(text.TASKS, local=True)) as client:
        refused = client.post("/v1/embeddings", content=BODY, headers={"origin": PAGE})
        assert refused.status_code == 403
        assert "HEARTH_CORS_ORIGINS" in refused.json()["error"]["message"]
        assert "access-control-allow-origin" not in refused.headers
        assert client.options("/models/sentiment-en", headers=PREFLIGHT).status_code == 403
        rebound = client.get("/models", headers={"host": "evil.example"})
        assert rebound.status_code == 400
        assert "--host" in rebound.json()["error"]


@pytest.mark.parametrize("make", [rest_event, http_event])
def test_a_function_answers_preflights_and_marks_responses(
    serving: Path, set_variables: Callable[..., None], make: Callable[..., dict[str, object]]
) -> None:
    set_variables(HEARTH_CORS_ORIGINS=PAGE)
    handler = create_handler(text.TASKS)
    preflight = handler(make("OPTIONS", "/models/sentiment-en", headers=PREFLIGHT), None)
    assert preflight["statusCode"] == 204
    assert preflight["headers"]["access-control-allow-origin"] == PAGE
    for path, status in (("/models/sentiment-en", 200), ("/models/none", 404), ("/nowhere", 404)):
        response = handler(make("POST", path, BODY, {**JSON, "origin": PAGE}), None)
        assert (response["statusCode"], response["headers"]["access-control-allow-origin"]) == (status, PAGE)
    other = handler(make("POST", "/models/sentiment-en", BODY, {**JSON, "origin": "https://evil.example"}), None)
    assert "access-control-allow-origin" not in other["headers"]
    assert other["headers"]["vary"] == "Origin"
