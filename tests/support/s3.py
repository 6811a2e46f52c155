"""Two local S3 servers: moto's, which does all that we need, and a read-only one, which can be slowed down.

`python -m tests.support.s3 FOLDER PORT` serves FOLDER until it is killed.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from hearth import settings
from tests.support.servers import running

if TYPE_CHECKING:
    import pytest

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
}
CHUNK = 256 * 1024
"""Number of bytes that a slowed server sends at a time."""


@contextmanager
def moto_s3(address: str = "127.0.0.1") -> Iterator[str]:
    """Run a moto server on a free port of `address`; yield its URL."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address=address, port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def client(url: str, service: str = "s3") -> Any:
    import boto3

    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


@contextmanager
def s3_of_this_process(
    patch: pytest.MonkeyPatch, buckets: tuple[str, ...], *, versions: bool = False, **variables: str
) -> Iterator[Any]:
    """Yield a client of moto's S3 with empty `buckets`; this process, with `variables` set, uses the same S3."""
    with moto_s3() as url:
        for name, value in (CREDENTIALS | {"AWS_ENDPOINT_URL_S3": url} | variables).items():
            patch.setenv(name, value)
        settings.get.cache_clear()
        s3 = client(url)
        urllib.request.urlopen(f"{url}/moto-api/reset", data=b"").close()  # moto's state outlives the server
        for bucket in buckets:
            s3.create_bucket(Bucket=bucket)
            if versions:
                s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        yield s3


def upload_folder(s3: Any, folder: Path, bucket: str, prefix: str = "") -> None:
    """Put every file of `folder` into a new `bucket`, under `prefix`."""
    s3.create_bucket(Bucket=bucket)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            s3.put_object(Bucket=bucket, Key=f"{prefix}{path.relative_to(folder)}", Body=path.read_bytes())


class FolderServer(ThreadingHTTPServer):
    """A server of GET and HEAD for `folder`, whose subfolders are the buckets. Signatures are not checked."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.folder = folder.resolve()
        self.rate: float | None = None
        """Bytes per second and connection; None for no limit."""
        self.sent = 0
        """Number of body bytes sent so far."""
        self.requests: list[str] = []
        """Paths that were requested so far."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Print no traceback for a client that was killed during a download, which these tests do on purpose."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def folder_s3(folder: Path) -> Iterator[FolderServer]:
    """Run a FolderServer on its own thread."""
    server = FolderServer(folder)
    with running(server):
        yield server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    """Head and body are two writes; Nagle's algorithm delays the second until the first is acknowledged (40 ms)."""
    server: FolderServer

    def do_HEAD(self) -> None:
        self._respond(with_body=False)

    def do_GET(self) -> None:
        self._respond(with_body=True)

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def _respond(self, *, with_body: bool) -> None:
        self.server.requests.append(self.path)
        path = (self.server.folder / self.path.partition("?")[0].lstrip("/")).resolve()
        if not path.is_relative_to(self.server.folder) or not path.is_file():
            self._not_found(with_body)
            return
        size, start, stop = path.stat().st_size, 0, path.stat().st_size
        byte_range = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if byte_range:
            start = int(byte_range[1])
            stop = min(size, int(byte_range[2]) + 1) if byte_range[2] else size
        self.send_response(206 if byte_range else 200)
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{hashlib.md5(f"{path}{path.stat().st_mtime_ns}".encode()).hexdigest()}"')
        self.send_header("Last-Modified", self.date_time_string(path.stat().st_mtime))
        if byte_range:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.end_headers()
        if with_body:
            with path.open("rb") as file:
                self._send(file, start, stop)

    def _send(self, file: BinaryIO, start: int, stop: int) -> None:
        while start < stop:
            rate = self.server.rate
            count = min(stop - start, CHUNK) if rate else stop - start
            sent = os.sendfile(self.connection.fileno(), file.fileno(), start, count)
            start += sent
            self.server.sent += sent
            if rate:
                time.sleep(sent / rate)

    def _not_found(self, with_body: bool) -> None:
        body = b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"
        self.send_response(404)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)


if __name__ == "__main__":
    FolderServer(Path(sys.argv[1]), int(sys.argv[2])).serve_forever()
