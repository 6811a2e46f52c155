"""Events of API Gateway, function URLs and load balancers as requests, and answers in the form that each wants."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, unquote_plus

from msgspec import Struct

from hearth.aws_lambda import http_event_form

TEXTS = ("text/", "application/json", "application/javascript", "application/xml")
"""Media types that go out as they are; others as base64."""


class Asked(Struct, frozen=True):
    method: str
    path: str
    headers: dict[str, str]
    """By names in small letters."""
    query: dict[str, str]
    body: bytes


def read(event: Mapping[str, Any]) -> Asked:
    """What the event asks. Raises BadRequest, binascii.Error, UnicodeError."""
    headers = http_event_form.check(event)
    context = event["requestContext"]
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        data = base64.b64decode(body.encode("ascii", "replace"), validate=True)
    else:
        data = body.encode()
    if "elb" not in context and event.get("version") == "2.0":
        http = context["http"]
        if event.get("cookies"):
            headers["cookie"] = "; ".join(event["cookies"])
        query = dict(parse_qsl(event.get("rawQueryString") or "", keep_blank_values=True))
        return Asked(http["method"], unquote(http["path"]) or "/", headers, query, data)
    query = _query(event)
    if "elb" in context:  # which decodes no query
        query = {unquote_plus(name): unquote_plus(value) for name, value in query.items()}
    return Asked(event["httpMethod"], unquote(event["path"]) or "/", headers, query, data)


def _query(event: Mapping[str, Any]) -> dict[str, str]:
    """The last value of each name."""
    several = event.get("multiValueQueryStringParameters")
    if several:
        return {name: values[-1] for name, values in several.items() if values}
    return dict(event.get("queryStringParameters") or {})


def word(event: Mapping[str, Any], status: int, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """The answer as who sent the event takes it. `headers` by names in small letters, Content-Type among them."""
    text, encoded = _text(headers["content-type"], body)
    answer: dict[str, Any] = {"statusCode": status, "body": text, "isBase64Encoded": encoded}
    if "elb" not in event["requestContext"]:
        answer["headers"] = headers
        if event.get("version") != "2.0":
            answer["multiValueHeaders"] = {}
    elif "multiValueHeaders" in event:
        answer["multiValueHeaders"] = {name: [value] for name, value in headers.items()}
    else:
        answer["headers"] = headers
    return answer


def _text(media: str, body: bytes) -> tuple[str, bool]:
    """The body, and whether it had to become base64."""
    if not body:
        return "", False
    if any(kind in media for kind in TEXTS):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True
