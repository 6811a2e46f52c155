"""HTTP requests as API Gateway wraps them for a function."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

Headers = Mapping[str, str]
JSON: Headers = {"content-type": "application/json"}
REQUEST_ID = "7f2c6f0e-6f4e-4f0e-9a51-0f0b8e1f6a11"


def rest_event(method: str, path: str, body: bytes | str = "", headers: Headers = JSON) -> dict[str, Any]:
    """Return a REST API event (payload 1.0); a body of bytes is base64-encoded."""
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": dict(headers),
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": path.lstrip("/")},
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "httpMethod": method,
            "identity": {"sourceIp": "192.0.2.1", "userAgent": "tests"},
            "path": f"/prod{path}",
            "protocol": "HTTP/1.1",
            "requestId": REQUEST_ID,
            "resourcePath": "/{proxy+}",
            "stage": "prod",
        },
        **_body(body),
    }


def http_event(method: str, path: str, body: bytes | str = "", headers: Headers = JSON) -> dict[str, Any]:
    """Return an HTTP API event (payload 2.0), which function URLs send as well."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": dict(headers),
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "domainName": "api.example.com",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "tests",
            },
            "requestId": REQUEST_ID,
            "stage": "$default",
            "timeEpoch": 1_700_000_000_000,
        },
        **_body(body),
    }


def _body(body: bytes | str) -> dict[str, Any]:
    if isinstance(body, bytes):
        return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    return {"body": body, "isBase64Encoded": False}
