"""HTTP events of API Gateway, function URLs and load balancers: decodes requests and encodes responses.

Anyone who may invoke the function can send any event, so the format is checked first.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, unquote_plus

import msgspec
from msgspec import UNSET, Struct, UnsetType

from hearth import settings
from hearth.errors import BadRequest

Texts = dict[str, str]
Lists = dict[str, list[str]]
HOST = re.compile(r"[^:]*(:\d{1,5})?", re.ASCII)
PORT = re.compile(r"\d{1,5}", re.ASCII)
TEXT_MEDIA_TYPES = ("text/", "application/json", "application/javascript", "application/xml")
"""Bodies of these media types are sent as text, others as base64."""


class _Identity(Struct, rename="camel"):
    source_ip: str | None = None


class _RestContext(Struct):
    identity: _Identity | UnsetType = UNSET


class _Http(Struct, rename="camel"):
    method: str
    path: str
    source_ip: str


class _UrlContext(Struct):
    http: _Http


class _Event(Struct, kw_only=True, rename="camel"):
    headers: Texts | None = None
    body: str | None = None
    is_base64_encoded: bool = msgspec.field(name="isBase64Encoded", default=False)


class _RestEvent(_Event, kw_only=True, rename="camel"):
    """An event of a REST API, or of an HTTP API in format 1.0."""

    http_method: str
    path: str
    request_context: _RestContext
    multi_value_headers: Lists | None = None
    query_string_parameters: Texts | None = None
    multi_value_query_string_parameters: Lists | None = None


class _LoadBalancerEvent(_RestEvent, kw_only=True, rename="camel"):
    multi_value_headers: Lists | UnsetType = UNSET  # type: ignore[assignment]


class _UrlEvent(_Event, kw_only=True, rename="camel"):
    """An event of an HTTP API or a function URL."""

    request_context: _UrlContext
    headers: Texts
    raw_path: str
    raw_query_string: str = ""
    cookies: list[str] | None = None


class HttpRequest(Struct, frozen=True):
    method: str
    path: str
    headers: dict[str, str]
    """By names in lower case."""
    query: dict[str, str]
    body: bytes


def read(event: Mapping[str, Any]) -> HttpRequest:
    """Decode an event. Raises BadRequest, binascii.Error, UnicodeError."""
    headers = check(event)
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
        path = _below_base_path(http["path"], _route_path(http["path"], event))
        return HttpRequest(http["method"], unquote(path) or "/", headers, query, data)
    query = _query(event)
    if "elb" in context:  # load balancers do not decode the query
        query = {unquote_plus(name): unquote_plus(value) for name, value in query.items()}
    resource = None if "elb" in context else event.get("resource")
    path = _below_base_path(event["path"], _matched_path(event["path"], resource, event.get("pathParameters")))
    return HttpRequest(event["httpMethod"], unquote(path) or "/", headers, query, data)


def _below_base_path(path: str, otherwise: str) -> str:
    """The path without HEARTH_BASE_PATH; where it does not begin with that, `otherwise`."""
    base = settings.get().base_path
    return path[len(base) :] if base and f"{path}/".startswith(f"{base}/") else otherwise


def _route_path(path: str, event: Mapping[str, Any]) -> str:
    """The path of an HTTP API's event without its named stage and the base path of a custom domain."""
    matched = _matched_path(path, str(event.get("routeKey", "")).partition(" ")[2], event.get("pathParameters"))
    stage = event["requestContext"].get("stage")
    if matched != path or not isinstance(stage, str) or stage == "$default":
        return matched
    return path[len(stage) + 1 :] if f"{path}/".startswith(f"/{stage}/") else path


def _matched_path(path: str, resource: object, parameters: object) -> str:
    """The end of a path that matched a resource or a route, such as /models/{name} or /v1/{proxy+}: before it is the
    stage or the base path of a custom domain."""
    if not isinstance(resource, str) or not resource.startswith("/"):
        return path
    if resource == "/":
        return resource
    if not resource.endswith("+}"):
        return "/" + "/".join(path.rstrip("/").split("/")[-resource.count("/") :])
    before, _, name = resource.rpartition("{")
    proxy = parameters.get(name[:-2]) if isinstance(parameters, dict) else None
    if not isinstance(proxy, str) or not path.endswith(f"/{proxy}"):
        return path
    segments = before.count("/") + proxy.count("/")
    return "/" + "/".join(path.split("/")[-segments:])


def with_path(event: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The event with the path below the base path, for an adapter that does not know of one."""
    if "path" in event:
        return {**event, "path": path}
    context = event["requestContext"]
    return {**event, "rawPath": path, "requestContext": {**context, "http": {**context["http"], "path": path}}}


def check(event: Mapping[str, Any]) -> dict[str, str]:
    """Check the format of an event, and return its headers by names in lower case. Raises BadRequest."""
    try:
        context = event["requestContext"]
        is_url = "http" in context and event.get("version") == "2.0"
        is_load_balancer = "elb" in context
        if not (is_url or is_load_balancer or "resource" in event or "version" in event):
            raise BadRequest("An HTTP event must have `resource`, `version` or `requestContext.elb`")
        if is_load_balancer and "multiValueHeaders" not in event and event["headers"] is None:
            raise BadRequest("A load balancer's event must have headers")
        schema = _UrlEvent if is_url else _LoadBalancerEvent if is_load_balancer else _RestEvent
        return _headers(msgspec.convert(event, schema))
    except (msgspec.ValidationError, KeyError, TypeError):
        raise BadRequest("The event looks like an HTTP event, but does not have the format of one") from None


def _headers(event: _Event) -> dict[str, str]:
    """The headers by names in lower case. Raises BadRequest for an invalid host."""
    headers = {name.lower(): value for name, value in (event.headers or {}).items()}
    for name, values in (getattr(event, "multi_value_headers", None) or {}).items():
        headers[name.lower()] = ", ".join(values)
    if not HOST.fullmatch(headers.get("host", "")) or not PORT.fullmatch(headers.get("x-forwarded-port", "80")):
        raise BadRequest("The header Host must be a name, optionally with a port")
    return headers


def _query(event: Mapping[str, Any]) -> dict[str, str]:
    """The last value of each query parameter."""
    lists = event.get("multiValueQueryStringParameters")
    if lists:
        return {name: values[-1] for name, values in lists.items() if values}
    return dict(event.get("queryStringParameters") or {})


def write(event: Mapping[str, Any], status: int, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """Encode a response for the sender of the event. `headers` have names in lower case and include Content-Type."""
    text, is_base64 = _encode_body(headers["content-type"], body)
    response: dict[str, Any] = {"statusCode": status, "body": text, "isBase64Encoded": is_base64}
    if "elb" not in event["requestContext"]:
        response["headers"] = headers
        if event.get("version") != "2.0":
            response["multiValueHeaders"] = {}
    elif "multiValueHeaders" in event:
        response["multiValueHeaders"] = {name: [value] for name, value in headers.items()}
    else:
        response["headers"] = headers
    return response


def _encode_body(media_type: str, body: bytes) -> tuple[str, bool]:
    """The body as text, and whether it is base64."""
    if not body:
        return "", False
    if any(text_type in media_type for text_type in TEXT_MEDIA_TYPES):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True
