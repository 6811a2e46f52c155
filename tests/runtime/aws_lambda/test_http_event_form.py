"""HTTP events that no front door sends are told so: whoever may invoke the function can send them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from hearth.aws_lambda import http_event_form
from hearth.errors import BadRequest
from hearth_functions.catalog import app as catalog
from tests.events import event

DOORS = ("rest-v1", "http-v2", "function-url", "alb", "alb-multi-value")


@pytest.mark.parametrize("door", DOORS)
def test_what_front_doors_send_passes(door: str) -> None:
    http_event_form.check(event(door))


def _without(*path: str) -> Callable[[Any], None]:
    def change(made: Any) -> None:
        for name in path[:-1]:
            made = made[name]
        made.pop(path[-1], None)

    return change


def _with(value: Any, *path: str) -> Callable[[Any], None]:
    def change(made: Any) -> None:
        for name in path[:-1]:
            made = made[name]
        made[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("door", "change"),
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
        ("rest-v1", lambda made: [made.pop(name, None) for name in ("resource", "version")]),
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
def test_what_none_sends_is_a_bad_request(door: str, change: Callable[[Any], None]) -> None:
    made = copy.deepcopy(event(door))
    change(made)
    with pytest.raises(BadRequest):
        http_event_form.check(made)
    if "httpMethod" in made or "http" in (made.get("requestContext") or {}):
        answer = catalog.handler(made, SimpleNamespace(aws_request_id="r", get_remaining_time_in_millis=lambda: 9000))
        assert answer["statusCode"] == 400
