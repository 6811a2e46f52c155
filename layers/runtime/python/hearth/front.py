"""Events of API Gateway, function URLs and load balancers as requests, and answers in the form that each wants.

`envelope.check` has looked at the event before.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, unquote_plus

TEXTS = ("text/", "application/json", "application/javascript", "application/xml")
"""Media types that go out as they are; others as base64."""


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    """By names in small letters."""
    query: dict[str, str]
    body: bytes


def read(event: Mapping[str, Any]) -> Asked:
    """What the event asks. Raises binascii.Error, UnicodeError."""
    context = event["requestContext"]
    body = event.get("body") or ""
    data = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    if "elb" not in context and event.get("version") == "2.0":
        http = context["http"]
        headers = {name.lower(): value for name, value in event["headers"].items()}
        if event.get("cookies"):
            headers["cookie"] = "; ".join(event["cookies"])
        query = dict(parse_qsl(event.get("rawQueryString") or "", keep_blank_values=True))
        return Asked(http["method"], unquote(http["path"]) or "/", headers, query, data)
    query = _query(event)
    if "elb" in context:  # which decodes no query
        query = {unquote_plus(name): unquote_plus(value) for name, value in query.items()}
    return Asked(event["httpMethod"], unquote(event["path"]) or "/", _headers(event), query, data)


def _headers(event: Mapping[str, Any]) -> dict[str, str]:
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    return headers | {name.lower(): ", ".join(of) for name, of in (event.get("multiValueHeaders") or {}).items()}


def _query(event: Mapping[str, Any]) -> dict[str, str]:
    """The last value of each name."""
    several = event.get("multiValueQueryStringParameters")
    if several:
        return {name: values[-1] for name, values in several.items() if values}
    return dict(event.get("queryStringParameters") or {})


def word(event: Mapping[str, Any], status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The answer as who sent the event takes it. `headers` by names in small letters, Content-Type among them."""
    text, encoded = _text(headers["content-type"], body)
    answer: dict[str, Any] = {"statusCode": status, "body": text, "isBase64Encoded": encoded}
    if "elb" in event["requestContext"]:
        if "multiValueHeaders" in event:
            return answer | {"multiValueHeaders": {name: [value] for name, value in headers.items()}}
        return answer | {"headers": dict(headers)}
    if event.get("version") == "2.0":
        return answer | {"headers": dict(headers)}
    return answer | {"headers": dict(headers), "multiValueHeaders": {}}


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
