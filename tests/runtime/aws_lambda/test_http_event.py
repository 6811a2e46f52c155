"""HTTP events of every service, read and answered as Mangum does; and malformed events."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import pytest
from mangum import Mangum

from hearth.aws_lambda.http_event import check, read, write
from hearth.errors import BadRequest
from hearth_functions.catalog import app as catalog
from tests.events import event
from tests.support.requests import http_event, rest_event

PATH = "/models/a%20b/versions/%C3%A9"
HEADERS = {"Content-Type": "application/json", "X-Extra": "1"}
REST = rest_event("POST", PATH, '{"inputs": "ü"}', HEADERS)
QUERY = {
    "queryStringParameters": {"a": "2", "b": "x&y"},
    "multiValueQueryStringParameters": {"a": ["1", "2"], "b": ["x&y"]},
}
BALANCER = {"elb": {"targetGroupArn": "arn"}}
EVENTS: dict[str, dict[str, Any]] = {
    "REST": REST | QUERY,
    "REST, bytes": rest_event("POST", PATH, b"\x00\xff", HEADERS),
    "REST, several headers": REST | {"multiValueHeaders": {"X-Extra": ["1", "2"]}},
    "REST, nothing": REST | {"body": None, "headers": None, "multiValueHeaders": None},
    "HTTP API, older form": {**REST, **QUERY, "version": "1.0"},
    "HTTP API": http_event("POST", PATH, "{}", HEADERS) | {"rawQueryString": "a=1&a=2&b=x%26y&c="},
    "HTTP API, cookies": http_event("POST", PATH, b"\x00", HEADERS) | {"cookies": ["a=1", "b=2"]},
    "load balancer": {
        "requestContext": BALANCER,
        "httpMethod": "POST",
        "path": PATH,
        "headers": HEADERS,
        "queryStringParameters": {"a": "x%26y+z"},
        "body": "{}",
    },
    "load balancer, several headers": {
        "requestContext": BALANCER,
        "httpMethod": "GET",
        "path": "/",
        "multiValueHeaders": {"X-Extra": ["1"]},
        "multiValueQueryStringParameters": {"a": ["1", "x%26y"]},
        "body": "",
    },
}


def mangum_handler(event: dict[str, Any]) -> Any:
    return Mangum(lambda *_: None, lifespan="off").infer(event, None)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_a_request_is_read_as_mangum_reads_it(event: dict[str, Any]) -> None:
    request, expected = read(event), mangum_handler(event)
    scope = expected.scope
    assert (request.method, request.path, request.body) == (scope["method"], scope["path"], expected.body)
    assert request.headers == {name.decode(): value.decode() for name, value in scope["headers"]}
    assert request.query == dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("application/json", b"{}"),
        ("text/plain; charset=utf-8", "é".encode()),
        ("text/plain", b"\xff"),
        ("image/png", b"x"),
        ("image/png", b""),
    ],
)
def test_a_response_is_written_as_mangum_writes_it(event: dict[str, Any], media: str, body: bytes) -> None:
    headers = {"content-type": media, "x-request-id": "r"}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    expected = mangum_handler(event)({"status": 201, "headers": raw, "body": body})
    assert write(event, 201, headers, body) == expected


SOURCES = ("rest-v1", "http-v2", "function-url", "alb", "alb-multi-value")


@pytest.mark.parametrize("source", SOURCES)
def test_events_of_every_service_are_valid(source: str) -> None:
    check(event(source))


def _without(*path: str) -> Callable[[Any], None]:
    def change(node: Any) -> None:
        for name in path[:-1]:
            node = node[name]
        node.pop(path[-1], None)

    return change


def _with(value: Any, *path: str) -> Callable[[Any], None]:
    def change(node: Any) -> None:
        for name in path[:-1]:
            node = node[name]
        node[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("source", "change"),
    [
        ("rest-v1", _without("path")),
        ("rest-v1", _with(None, "requestContext")),
        ("rest-v1", _with(None, "requestContext", "identity")),
        ("rest-v1", _with(["POST"], "httpMethod")),
        ("rest-v1", _with({"host": ["a"]}, "headers")),
        ("rest-v1", _with({"host": "a"}, "multiValueHeaders")),
        ("rest-v1", _with({"a": 1}, "queryStringParameters")),
        ("rest-v1", _with({"inputs": "a"}, "body")),
        ("rest-v1", _with("yes", "isBase64Encoded")),
        ("rest-v1", lambda payload: [payload.pop(name, None) for name in ("resource", "version")]),
        ("http-v2", _with(5, "requestContext", "http", "method")),
        ("http-v2", _without("requestContext", "http", "sourceIp")),
        ("http-v2", _with(None, "headers")),
        ("function-url", _with("a=b", "cookies")),
        ("function-url", _with(7, "rawQueryString")),
        ("alb", _without("headers")),
        ("alb-multi-value", _with(None, "multiValueHeaders")),
        ("alb", _with("::1:80", "headers", "host")),
        ("function-url", _with("a:port", "headers", "host")),
        ("function-url", _with("web", "headers", "x-forwarded-port")),
    ],
)
def test_a_malformed_event_is_a_bad_request(source: str, change: Callable[[Any], None]) -> None:
    payload = copy.deepcopy(event(source))
    change(payload)
    with pytest.raises(BadRequest):
        check(payload)
    if "httpMethod" in payload or "http" in (payload.get("requestContext") or {}):
        response = catalog.handler(
            payload, SimpleNamespace(aws_request_id="r", get_remaining_time_in_millis=lambda: 9000)
        )
        assert response["statusCode"] == 400
