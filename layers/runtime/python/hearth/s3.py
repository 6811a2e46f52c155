"""Signed requests to S3 over `http.client`: a tenth of the import time of an SDK, and bytes go where we say.

Signature Version 4 as in AWS's "Create a signed AWS API request". The payload's SHA-256 is part of what is
signed, so a store refuses a body that was damaged on its way.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import http.client
import mmap
import os
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from hearth.errors import StoreError

CONNECT_SECONDS = 3.0
READ_SECONDS = 10.0

Body = bytes | mmap.mmap


@dataclass(frozen=True)
class Credentials:
    access_key: str
    secret_key: str
    token: str | None


def credentials(environ: Mapping[str, str] = os.environ) -> Credentials:
    """From the environment, where Lambda puts them; else from whatever boto3 finds (profiles, SSO, roles)."""
    if "AWS_ACCESS_KEY_ID" in environ and "AWS_SECRET_ACCESS_KEY" in environ:
        return Credentials(
            environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"], environ.get("AWS_SESSION_TOKEN")
        )
    frozen = _session_credentials().get_frozen_credentials()
    return Credentials(frozen.access_key, frozen.secret_key, frozen.token)


def signing_key(who: Credentials, day: str, region: str, service: str) -> bytes:
    """What Signature Version 4 signs with on `day` (yyyymmdd)."""
    key = f"AWS4{who.secret_key}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


@functools.cache
def _session_credentials() -> Any:
    # Only on a developer's machine or under SnapStart, never on the usual cold path.
    try:
        import boto3
    except ImportError:
        raise StoreError(
            "No AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or install boto3 to use profiles"
        ) from None
    found = boto3.Session().get_credentials()
    if found is None:
        raise StoreError("No AWS credentials were found, neither in the environment nor by boto3")
    return found


class Bucket:
    """One bucket's HTTP endpoint. Thread-safe: each thread keeps its own connection alive."""

    def __init__(self, name: str, environ: Mapping[str, str] = os.environ) -> None:
        self.name = name
        self.region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
        if endpoint:  # an emulator or a compatible store: bucket in the path
            url = urlsplit(endpoint)
            self._tls, self._host, self._base = url.scheme == "https", url.netloc, f"/{name}"
        else:
            # A dot in the name breaks the wildcard certificate of the bucket's own host name.
            self._tls = True
            domain = f"s3.{self.region}.amazonaws.com" + (".cn" if self.region.startswith("cn-") else "")
            self._host, self._base = (domain, f"/{name}") if "." in name else (f"{name}.{domain}", "")
        self.url = f"{'https' if self._tls else 'http'}://{self._host}{self._base}/"
        """Where forms are posted to."""
        self._environ = environ
        self._local = threading.local()

    def request(
        self,
        method: str,
        key: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body = b"",
    ) -> http.client.HTTPResponse:
        """Send one signed request; the caller reads the response whole before the thread's next one.

        Raises OSError or http.client.HTTPException when the connection fails; statuses are the caller's.
        """
        path = self._base + "/" + quote(key, safe="/~")
        search = "&".join(
            f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted((query or {}).items())
        )
        signed = self._sign(method, path, search, dict(headers or {}), body)
        target = f"{path}?{search}" if search else path
        # A kept connection may have been closed by the other side, or frozen with the function between two
        # events: its failure says nothing about the store, so one fresh connection is tried after it.
        kept: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if kept is not None:
            try:
                return _send(kept, method, target, body, signed)
            except (OSError, http.client.HTTPException):
                self.drop()
        if self._tls:
            connection: http.client.HTTPConnection = _TlsConnection(
                self._host, timeout=CONNECT_SECONDS, context=self._context
            )
        else:
            connection = _Connection(self._host, timeout=CONNECT_SECONDS)
        self._local.connection = connection
        try:
            connection.connect()
            connection.sock.settimeout(READ_SECONDS)
            return _send(connection, method, target, body, signed)
        except (OSError, http.client.HTTPException):
            self.drop()
            raise

    @functools.cached_property
    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context()  # reading the authorities takes longer than a connection: once a bucket

    def drop(self) -> None:
        """Close this thread's connection, after a body that was not read to its end."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _sign(self, method: str, path: str, search: str, headers: dict[str, str], body: Body) -> dict[str, str]:
        who = credentials(self._environ)
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
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
        scope = f"{day}/{self.region}/s3/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = signing_key(who, day, self.region, "s3")
        signature = hmac.new(key, to_sign.encode(), "sha256").hexdigest()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={who.access_key}/{scope}, SignedHeaders={listed}, Signature={signature}"
        )
        return headers


class _Connection(http.client.HTTPConnection):
    """Closed when its thread ends."""

    def __del__(self) -> None:
        self.close()


class _TlsConnection(_Connection, http.client.HTTPSConnection):
    pass


def _send(
    connection: http.client.HTTPConnection, method: str, target: str, body: Body, headers: dict[str, str]
) -> http.client.HTTPResponse:
    connection.request(method, target, body=body if len(body) else None, headers=headers)
    return connection.getresponse()
