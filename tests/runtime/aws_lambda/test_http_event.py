"""Our reading and wording of AWS's events beside Mangum's, for every kind of front door."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest
from mangum import Mangum

from hearth.aws_lambda.http_event import read, word
from hearth.protocols.router import SPOKEN, Doors, dialects, spoken
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


def mangums(event: dict[str, Any]) -> Any:
    return Mangum(lambda *_: None, lifespan="off").infer(event, None)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_a_request_is_what_mangum_reads(event: dict[str, Any]) -> None:
    ours, theirs = read(event), mangums(event)
    scope = theirs.scope
    assert (ours.method, ours.path, ours.body) == (scope["method"], scope["path"], theirs.body)
    assert ours.headers == {name.decode(): value.decode() for name, value in scope["headers"]}
    assert ours.query == dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))


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
def test_an_answer_is_what_mangum_words(event: dict[str, Any], media: str, body: bytes) -> None:
    headers = {"content-type": media, "x-request-id": "r"}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    theirs = mangums(event)({"status": 201, "headers": raw, "body": body})
    assert word(event, 201, headers, body) == theirs


def test_every_route_is_found_and_no_other() -> None:
    known = Doors(None)
    for dialect in dialects():
        for route in dialect.routes:
            filled = route.path.replace("{", "the-").replace("}", "\n")
            found = known.find(route.method, filled)
            assert found is not None
            door, words = found
            assert door == (dialect, route)
            assert set(words.values()) <= set(filled.split("/"))
    assert known.find("GET", "/models/a/b/c/d") is None
    assert known.find("DELETE", "/models") is None


def test_a_path_is_spoken_as_its_dialect_says() -> None:
    said = {prefix.strip("/"): dialect.name for dialect in dialects() for prefix in dialect.prefixes if prefix != "/"}
    assert said == SPOKEN
    assert spoken("/").name == spoken("/models/a").name == spoken("/v10").name == "huggingface"
