"""Signed requests to AWS services, without an SDK.

Importing an SDK takes a third of a cold start (`hearth bench imports`), and an SDK chooses itself in which pieces it
returns bodies. Signature Version 4 as in AWS's "Create a signed AWS API request". The signature includes the payload's
SHA-256, so a store refuses a body that was damaged in transit.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
import threading
import time
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hearth import deadline
from hearth.aws.credentials import Credentials, find_credentials, region
from hearth.aws.http1 import Body, Connection, Response

if TYPE_CHECKING:
    import ssl

CONNECT_SECONDS = 3.0
READ_SECONDS = 10.0
CLOCK_SECONDS = 240.0
"""Largest tolerated difference of two clocks; AWS refuses signatures that are off by 300 s, S3 by 900 s."""

_ENDPOINTS: weakref.WeakSet[Endpoint] = weakref.WeakSet()


def signing_key(credentials: Credentials, day: str, region: str, service: str) -> bytes:
    """The key of Signature Version 4 for `day` (yyyymmdd)."""
    key = f"AWS4{credentials.secret_key}".encode()
    for component in (day, region, service, "aws4_request"):
        key = hmac.digest(key, component.encode(), "sha256")
    return key


def forget_connections() -> None:
    """Let no endpoint reuse a connection: after a snapshot is restored, the servers no longer know them."""
    for endpoint in list(_ENDPOINTS):
        endpoint.forget_connections()


class Endpoint:
    """One HTTP endpoint of a service. Thread-safe: each thread keeps its own connection alive."""

    def __init__(
        self,
        address: str,
        service: str,
        environ: Mapping[str, str] = os.environ,
        *,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        url = urlsplit(address)
        self._read_seconds = read_seconds
        self.region = region(environ)
        self._address, self._tls, self._host, self._service = address, url.scheme == "https", url.netloc, service
        self._environ = environ
        self._local = threading.local()
        _ENDPOINTS.add(self)
        self._clock_offset = 0.0
        """Seconds by which the service's clock is ahead of ours."""

    def send(
        self, method: str, path: str, search: str = "", headers: Mapping[str, str] | None = None, body: Body = b""
    ) -> Response:
        """Send a signed request; the caller must read the response completely before the thread's next request.

        Raises OSError if the connection fails; the caller checks the status.
        """
        response = self._send_once(method, path, search, dict(headers or {}), body)
        if response.status == 403 and self._correct_clock(response):
            response.read()
            response = self._send_once(method, path, search, dict(headers or {}), body)
        return response

    def forget_connections(self) -> None:
        """Reuse no connection of any thread."""
        self._local = threading.local()

    def drop(self) -> None:
        """Close this thread's connection, if a body was not read completely."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _send_once(self, method: str, path: str, search: str, headers: dict[str, str], body: Body) -> Response:
        signed = self._sign(method, path, search, headers, body)
        target = f"{path}?{search}" if search else path
        # A kept connection may have been closed by the server, or frozen with the function between two events. Its
        # failure says nothing about the store, so a new connection is tried once.
        kept: Connection | None = getattr(self._local, "connection", None)
        if kept is not None and kept.socket is not None:
            try:
                kept.socket.settimeout(self._read_timeout())
                return kept.request(method, target, signed, body)
            except OSError:
                self.drop()
        connection = Connection(self._address, CONNECT_SECONDS, self._context if self._tls else None)
        self._local.connection = connection
        try:
            connection.connect().settimeout(self._read_timeout())
            return connection.request(method, target, signed, body)
        except OSError:
            self.drop()
            raise

    def _read_timeout(self) -> float:
        """Seconds to wait for data, at most the remaining time of the request."""
        return deadline.timeout(self._read_seconds)

    def _correct_clock(self, response: Response) -> bool:
        """Correct our clock if a refusal shows that it is wrong; whether it did. Signatures expire after a few
        minutes."""
        from email.utils import parsedate_to_datetime  # rarely needed

        try:
            server_time = parsedate_to_datetime(response.headers["date"]).timestamp()
        except (KeyError, TypeError, ValueError):
            return False
        offset = server_time - time.time()
        if abs(offset - self._clock_offset) < CLOCK_SECONDS:
            return False
        self._clock_offset = offset
        return True

    @functools.cached_property
    def _context(self) -> ssl.SSLContext:
        import ssl

        return ssl.create_default_context()  # once per endpoint: reading the certificates takes longer than connecting

    def _sign(self, method: str, path: str, search: str, headers: dict[str, str], body: Body) -> dict[str, str]:
        credentials = find_credentials(self._environ)
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + self._clock_offset))
        day = now[:8]
        digest = hashlib.sha256(body).hexdigest()
        headers |= {"host": self._host, "x-amz-date": now, "x-amz-content-sha256": digest}
        if credentials.token:
            headers["x-amz-security-token"] = credentials.token
        names = sorted(headers)
        signed_headers = ";".join(names)
        canonical = "\n".join(
            [method, path, search, *(f"{name}:{headers[name].strip()}" for name in names), "", signed_headers, digest]
        )
        scope = f"{day}/{self.region}/{self._service}/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = signing_key(credentials, day, self.region, self._service)
        signature = hmac.new(key, to_sign.encode(), "sha256").hexdigest()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={signed_headers}, Signature={signature}"
        )
        return headers
