"""Signed requests to AWS services, over a connection of ours.

An SDK takes a third of a cold start to import (`hearth bench imports`), and hands bodies over in pieces of its own
choice. Signature Version 4 as in AWS's "Create a signed AWS API request". The payload's SHA-256 is part of what is
signed, so a store refuses a body that was damaged on its way.
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
"""By how much two clocks may differ unnoticed; AWS refuses signatures that differ by 300 s, S3 by 900 s."""

_ENDPOINTS: weakref.WeakSet[Endpoint] = weakref.WeakSet()


def signing_key(who: Credentials, day: str, region: str, service: str) -> bytes:
    """What Signature Version 4 signs with on `day` (yyyymmdd)."""
    key = f"AWS4{who.secret_key}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def forget_connections() -> None:
    """Let no endpoint use a connection again that was made before: its other side knows nothing of it any more."""
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
        self._ahead = 0.0
        """Seconds by which the service's clock is ahead of ours."""

    def send(
        self, method: str, path: str, search: str = "", headers: Mapping[str, str] | None = None, body: Body = b""
    ) -> Response:
        """Send one signed request; the caller reads the response whole before the thread's next one.

        Raises OSError when the connection fails; statuses are the caller's.
        """
        response = self._sent(method, path, search, dict(headers or {}), body)
        if response.status == 403 and self._learned_the_time(response):
            response.read()
            response = self._sent(method, path, search, dict(headers or {}), body)
        return response

    def forget_connections(self) -> None:
        """Of all threads."""
        self._local = threading.local()

    def drop(self) -> None:
        """Close this thread's connection, after a body that was not read to its end."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _sent(self, method: str, path: str, search: str, headers: dict[str, str], body: Body) -> Response:
        signed = self._sign(method, path, search, headers, body)
        target = f"{path}?{search}" if search else path
        # A kept connection may have been closed by the other side, or frozen with the function between two
        # events: its failure says nothing about the store, so one fresh connection is tried after it.
        kept: Connection | None = getattr(self._local, "connection", None)
        if kept is not None and kept.socket is not None:
            try:
                kept.socket.settimeout(self._patience())
                return kept.request(method, target, signed, body)
            except OSError:
                self.drop()
        connection = Connection(self._address, CONNECT_SECONDS, self._context if self._tls else None)
        self._local.connection = connection
        try:
            connection.connect().settimeout(self._patience())
            return connection.request(method, target, signed, body)
        except OSError:
            self.drop()
            raise

    def _patience(self) -> float:
        """Seconds to wait for more of an answer: no more than the request has left."""
        left = deadline.remaining()
        return self._read_seconds if left is None else min(self._read_seconds, max(left, 0.1))

    def _learned_the_time(self, response: Response) -> bool:
        """Whether a refusal shows that our clock is wrong: signatures are good for a few minutes only."""
        from email.utils import parsedate_to_datetime  # few clocks are wrong

        try:
            theirs = parsedate_to_datetime(response.headers["date"]).timestamp()
        except (KeyError, TypeError, ValueError):
            return False
        ahead = theirs - time.time()
        if abs(ahead - self._ahead) < CLOCK_SECONDS:
            return False
        self._ahead = ahead
        return True

    @functools.cached_property
    def _context(self) -> ssl.SSLContext:
        import ssl

        return ssl.create_default_context()  # reading the authorities takes longer than a connection: once a bucket

    def _sign(self, method: str, path: str, search: str, headers: dict[str, str], body: Body) -> dict[str, str]:
        who = find_credentials(self._environ)
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + self._ahead))
        day = now[:8]
        digest = hashlib.sha256(body).hexdigest()
        headers |= {"host": self._host, "x-amz-date": now, "x-amz-content-sha256": digest}
        if who.token:
            headers["x-amz-security-token"] = who.token
        names = sorted(headers)
        listed = ";".join(names)
        canonical = "\n".join(
            [method, path, search, *(f"{name}:{headers[name].strip()}" for name in names), "", listed, digest]
        )
        scope = f"{day}/{self.region}/{self._service}/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = signing_key(who, day, self.region, self._service)
        signature = hmac.new(key, to_sign.encode(), "sha256").hexdigest()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={who.access_key}/{scope}, SignedHeaders={listed}, Signature={signature}"
        )
        return headers
