"""Signed requests to an S3 bucket."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import quote

from hearth.aws.client import Endpoint
from hearth.aws.credentials import domain, endpoint_override, region
from hearth.aws.http1 import Body, Response


class Bucket(Endpoint):
    """The endpoint of one bucket."""

    def __init__(self, name: str, environ: Mapping[str, str] = os.environ) -> None:
        self.name = name
        address = endpoint_override("s3", environ)
        self._base = f"/{name}"
        if not address:  # an emulator or a compatible store has the bucket in the path
            host = f"s3.{region(environ)}.{domain(region(environ))}"
            # The wildcard certificate does not match a bucket's host name if the name has a dot.
            if "." in name:
                address = f"https://{host}"
            else:
                address, self._base = f"https://{name}.{host}", ""
        super().__init__(address, "s3", environ)
        self.url = f"{'https' if self._tls else 'http'}://{self._host}{self._base}/"
        """URL to which forms are posted."""

    def request(
        self,
        method: str,
        key: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body = b"",
    ) -> Response:
        """As `send`, for an object of the bucket, or for the bucket itself if the key is empty."""
        search = "&".join(
            f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted((query or {}).items())
        )
        return self.send(method, self._base + "/" + quote(key, safe="/~"), search, headers, body)
