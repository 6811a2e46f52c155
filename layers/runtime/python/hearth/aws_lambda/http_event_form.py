"""What an HTTP event must have to be one. Front doors send nothing else; whoever may invoke the function can."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from hearth.errors import BadRequest

Texts = dict[str, str]
Lists = dict[str, list[str]]
HOST = re.compile(r"[^:]*(:\d{1,5})?", re.ASCII)
PORT = re.compile(r"\d{1,5}", re.ASCII)


class _Identity(Struct):
    sourceIp: str | None = None  # noqa: N815


class _Context(Struct):
    identity: _Identity | UnsetType = UNSET


class _Http(Struct):
    method: str
    path: str
    sourceIp: str  # noqa: N815


class _HttpContext(Struct):
    http: _Http


class _Event(Struct, kw_only=True):
    headers: Texts | None = None
    body: str | None = None
    isBase64Encoded: bool = False  # noqa: N815


class _Rest(_Event, kw_only=True):
    """Of a REST API, and of an HTTP API in the older form."""

    httpMethod: str  # noqa: N815
    path: str
    requestContext: _Context  # noqa: N815
    multiValueHeaders: Lists | None = None  # noqa: N815
    queryStringParameters: Texts | None = None  # noqa: N815
    multiValueQueryStringParameters: Lists | None = None  # noqa: N815


class _LoadBalancer(_Rest, kw_only=True):
    multiValueHeaders: Lists | UnsetType = UNSET  # type: ignore[assignment]  # noqa: N815


class _Url(_Event, kw_only=True):
    """Of an HTTP API, and of a function's URL."""

    requestContext: _HttpContext  # noqa: N815
    headers: Texts
    rawPath: str  # noqa: N815
    rawQueryString: str = ""  # noqa: N815
    cookies: list[str] | None = None


def check(event: Mapping[str, Any]) -> dict[str, str]:
    """The headers by their names in small letters. Raises BadRequest for what `Mangum` would stumble over."""
    try:
        context = event["requestContext"]
        url = "http" in context and event.get("version") == "2.0"
        balancer = "elb" in context
        if not (url or balancer or "resource" in event or "version" in event):
            raise BadRequest("An HTTP event says by `resource`, `version` or `requestContext.elb` whose it is")
        if balancer and "multiValueHeaders" not in event and event["headers"] is None:
            raise BadRequest("A load balancer's event has headers")
        return _headers(msgspec.convert(event, _Url if url else _LoadBalancer if balancer else _Rest))
    except (msgspec.ValidationError, KeyError, TypeError):
        raise BadRequest("This looks like an HTTP event, and has not the form of one") from None


def _headers(event: _Event) -> dict[str, str]:
    """Raises BadRequest for a host that has no form of one."""
    headers = {name.lower(): value for name, value in (event.headers or {}).items()}
    for name, values in (getattr(event, "multiValueHeaders", None) or {}).items():
        headers[name.lower()] = ", ".join(values)
    if not HOST.fullmatch(headers.get("host", "")) or not PORT.fullmatch(headers.get("x-forwarded-port", "80")):
        raise BadRequest("The header Host must be a name, perhaps with a port")
    return headers
