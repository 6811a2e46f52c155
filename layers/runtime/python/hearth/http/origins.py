"""Which web pages may call the API: CORS (Fetch standard), and the defence of a local server against other pages.

A server on localhost can be reached by every page that its user opens: a page can send requests to it, and with DNS
rebinding even read the responses. So the local server refuses unknown Host headers and foreign origins.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from hearth import settings
from hearth.errors import BadRequest, Forbidden

METHODS = "GET, POST, DELETE, OPTIONS"
EXPOSED_HEADERS = (
    "x-request-id, server-timing, x-hearth-model, x-hearth-stream, retry-after, inference-header-content-length, "
    "x-hearth-novelty, traceresponse, x-amzn-invoked-production-variant"
)
"""Response headers that a page may read."""
MAX_AGE_SECONDS = "7200"
"""How long a browser may remember a preflight response; browsers limit it to two hours."""


def allows(origin: str) -> bool:
    """Whether HEARTH_CORS_ORIGINS has the origin of a page."""
    origins = settings.get().cors_origins
    return "*" in origins or origin.lower() in origins


def response_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """CORS headers of the response to a request with these headers (names in lower case)."""
    origins, origin = settings.get().cors_origins, headers.get("origin", "")
    if not origins:
        return {}
    varies = {} if "*" in origins else {"vary": "Origin"}
    if not origin or not allows(origin):
        return varies
    allowed = "*" if "*" in origins else origin
    return {"access-control-allow-origin": allowed, "access-control-expose-headers": EXPOSED_HEADERS, **varies}


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    return method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers


def preflight_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers of the response to a preflight request. Raises Forbidden."""
    origin = headers["origin"]
    if not allows(origin):
        raise Forbidden(f"Pages of {origin[:200]} may not call this API; add their origin to HEARTH_CORS_ORIGINS")
    requested = headers.get("access-control-request-headers", "")
    return response_headers(headers) | {
        "access-control-allow-methods": METHODS,
        "access-control-allow-headers": requested or "content-type, authorization, x-api-key",
        "access-control-max-age": MAX_AGE_SECONDS,
    }


def check_local(headers: Mapping[str, str], host: str) -> None:
    """Refuse a request to the local server, started for `host`, that another web page may have made.

    Raises BadRequest for an unknown Host, Forbidden for a foreign origin.
    """
    requested = headers.get("host", "")
    if requested and not _is_known_host(requested, host):
        raise BadRequest(
            "The server does not know the host of this request; start it with --host NAME, or add the name to "
            "HEARTH_ALLOWED_HOSTS"
        )
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != requested.lower() and not allows(origin):
        raise Forbidden("Pages of this origin may not call this server; add the origin to HEARTH_CORS_ORIGINS")


def _is_known_host(requested: str, host: str) -> bool:
    """Rebinding needs a DNS name, so any IP address is safe."""
    name = requested.rpartition(":")[0] if requested.rpartition(":")[2].isdecimal() else requested
    name = name.strip("[]").rstrip(".").lower()
    allowed = settings.get().allowed_hosts
    known = {"localhost", host.lower(), socket.gethostname().lower(), *allowed}
    if "*" in allowed or name in known or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
