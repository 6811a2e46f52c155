"""Named stages, base paths of custom domains, and CORS, in events as API Gateway sends them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hearth import settings
from hearth.aws_lambda import http_event
from hearth_functions.text_classification import app as text
from tests.support.requests import http_event as http_api_event
from tests.support.requests import rest_event

CONTEXT = SimpleNamespace(aws_request_id="request-1")
SetVariables = Callable[..., None]


@pytest.fixture
def set_variables(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_all(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings.get.cache_clear()

    settings.get.cache_clear()
    return set_all


def rest(path: str, resource: str, parameters: dict[str, str] | None) -> dict[str, Any]:
    """Return a REST API's event: `path` is that of the custom domain, with its base path."""
    return rest_event("GET", path) | {"resource": resource, "pathParameters": parameters}


def http(path: str, route: str, parameters: dict[str, str] | None = None, stage: str = "$default") -> dict[str, Any]:
    """Return an HTTP API's event: the path begins with a named stage, or with the base path of a custom domain."""
    event = http_api_event("GET", path) | {"routeKey": route}
    event["requestContext"] |= {"stage": stage, "routeKey": route}
    return event | ({"pathParameters": parameters} if parameters else {})


@pytest.mark.parametrize(
    ("event", "path"),
    [
        (rest("/models/sentiment-en", "/models/{name}", {"name": "sentiment-en"}), "/models/sentiment-en"),
        (rest("/ai/models/sentiment-en", "/models/{name}", {"name": "sentiment-en"}), "/models/sentiment-en"),
        (rest("/ai/v2/models", "/models", None), "/models"),
        (rest("/ai/models/a/info", "/models/{name}/{proxy+}", {"name": "a", "proxy": "info"}), "/models/a/info"),
        (rest("/v1/v1/models", "/v1/{proxy+}", {"proxy": "models"}), "/v1/models"),
        (rest("/v1/a/b/v1/models/x", "/v1/{proxy+}", {"proxy": "models/x"}), "/v1/models/x"),
        (rest("/ai/", "/", None), "/"),
        (rest("/models/sentiment-en/", "/models/{name}", {"name": "sentiment-en"}), "/models/sentiment-en"),
        (http("/models/a", "GET /models/{name}", {"name": "a"}), "/models/a"),
        (http("/prod/models/a", "GET /models/{name}", {"name": "a"}, "prod"), "/models/a"),
        (http("/ai/models/a", "GET /models/{name}", {"name": "a"}), "/models/a"),
        (http("/ai/v1/models/a", "ANY /v1/{proxy+}", {"proxy": "models/a"}), "/v1/models/a"),
        (http("/prod/models/a", "$default", None, "prod"), "/models/a"),
        (http("/models/a", "$default", None, "prod"), "/models/a"),
        (http("/prodigy/models", "$default", None, "prod"), "/prodigy/models"),
        (http("/prod", "$default", None, "prod"), "/"),
        (http("/models/a", "$default"), "/models/a"),
    ],
)
def test_the_stage_and_the_base_path_are_recognised(event: dict[str, Any], path: str) -> None:
    settings.get.cache_clear()
    assert http_event.read(event).path == path


@pytest.mark.parametrize("event", [http("/ai/x/models/a", "$default"), rest("/ai/x/models/a", "/{proxy+}", None)])
def test_a_base_path_that_the_event_does_not_tell_is_a_setting(
    event: dict[str, Any], set_variables: SetVariables
) -> None:
    set_variables(HEARTH_BASE_PATH="/ai/x")
    assert http_event.read(event).path == "/models/a"
    assert http_event.read(http("/ai/xyz", "$default")).path == "/ai/xyz"


@pytest.mark.parametrize(
    "event",
    [
        http("/prod/models/sentiment-en", "$default", None, "prod"),
        http("/ai/models/sentiment-en", "GET /models/{name}", {"name": "sentiment-en"}),
        rest("/ai/models/sentiment-en", "/models/{name}", {"name": "sentiment-en"}),
        http("/prod/nothing", "$default", None, "prod"),
        rest("/ai/nothing", "/{proxy+}", {"proxy": "nothing"}),
    ],
)
def test_the_handler_answers_below_a_base_path(serving: Path, event: dict[str, Any]) -> None:
    response = text.handler(event, CONTEXT)
    is_model = "sentiment" in json.dumps(event)
    assert response["statusCode"] == (200 if is_model else 404), response
    assert ("labels" if is_model else "error") in json.loads(response["body"])


ORIGIN = {"origin": "https://shop.example"}
PREFLIGHT = ORIGIN | {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}


@pytest.mark.parametrize("make", [rest_event, http_api_event], ids=["REST", "HTTP"])
def test_a_function_answers_preflights_and_marks_its_responses(
    serving: Path, make: Callable[..., dict[str, Any]], set_variables: SetVariables
) -> None:
    set_variables(HEARTH_CORS_ORIGINS="https://shop.example")
    preflight = text.handler(make("OPTIONS", "/models/sentiment-en", headers=PREFLIGHT), CONTEXT)
    assert preflight["statusCode"] == 204
    assert "POST" in preflight["headers"]["access-control-allow-methods"]
    for path, body, status in (("/models/sentiment-en", '{"inputs": "good"}', 200), ("/models/none", "{}", 404)):
        response = text.handler(
            make("POST", path, body, headers={**ORIGIN, "content-type": "application/json"}), CONTEXT
        )
        assert response["statusCode"] == status
        assert response["headers"]["access-control-allow-origin"] == ORIGIN["origin"]
    foreign = make("POST", "/models/sentiment-en", '{"inputs": "good"}', headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in text.handler(foreign, CONTEXT)["headers"]
