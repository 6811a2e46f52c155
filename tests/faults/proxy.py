"""A proxy for one HTTP service, which counts its calls and lets a plan spoil any of them."""

from __future__ import annotations

import http.client
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.support.servers import running

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
CLOCK_SECONDS = 900
"""By how much S3 lets a signature's time differ."""


@dataclass(frozen=True)
class Call:
    number: int
    """From 1, since the plan was set."""
    method: str
    path: str
    """With its query."""


@dataclass(frozen=True)
class Fault:
    """What happens in the place of the service's answer.

    `reset`: the connection ends before the call has an effect; `lost`: after it; `cut`: half of the answer's body;
    `flip`: one bit of it; `slow`: `number` bytes a second; `silence`: nothing; `garbage`: no HTTP; `status`: `number`
    with `code`; `clock`: signatures whose time differs from this machine's are refused.
    """

    kind: str
    number: int = 0
    code: str = ""


Plan = Callable[[Call], Fault | None]
REFUSALS = {403: "AccessDenied", 404: "NoSuchKey", 412: "PreconditionFailed", 429: "SlowDown", 503: "SlowDown"}


def always(fault: Fault, part: str = "", times: int = 10**9) -> Plan:
    """The fault on the first `times` calls whose path has `part`."""
    left = [times]

    def plan(call: Call) -> Fault | None:
        if part not in call.path or not left[0]:
            return None
        left[0] -= 1
        return fault

    return plan


@dataclass
class Proxy:
    upstream: str
    url: str = ""
    plan: Plan | None = None
    calls: list[Call] = field(default_factory=list)
    spoiled: int = 0
    skew: float = 0.0
    """Seconds by which the service's clock is ahead of this machine's."""

    def set(self, plan: Plan | None) -> None:
        """From now on, and count anew."""
        self.calls, self.spoiled, self.plan = [], 0, plan


@contextmanager
def proxied(upstream: str) -> Iterator[Proxy]:
    proxy = Proxy(urlsplit(upstream).netloc)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy}))
    with running(server) as proxy.url:
        yield proxy


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    proxy: Proxy

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):
            self.close_connection = True  # a client that went away

    def _relay(self) -> None:
        proxy = self.proxy
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        call = Call(len(proxy.calls) + 1, self.command, self.path)
        proxy.calls.append(call)
        fault = proxy.plan(call) if proxy.plan else None
        if fault and fault.kind == "clock":
            proxy.skew = fault.number
            fault = Fault("status", 403, "RequestTimeTooSkewed") if self._late() else None
        proxy.spoiled += fault is not None
        if fault and self._refused(fault):
            return
        status, headers, data = self._asked(body)
        self._answer(status, headers, data, fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _relay

    def _late(self) -> bool:
        told = datetime.strptime(self.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return abs(told.timestamp() - time.time() - self.proxy.skew) > CLOCK_SECONDS

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() + self.proxy.skew)

    def _refused(self, fault: Fault) -> bool:
        """Whether the call never reached the service."""
        if fault.kind == "reset":
            self._reset()
        elif fault.kind == "silence":
            self.connection.recv(1)  # until the client has enough
            self.close_connection = True
        elif fault.kind == "garbage":
            self.connection.sendall(b"\x00\xff this is no HTTP\r\n\r\n")
            self.close_connection = True
        elif fault.kind == "status":
            code = fault.code or REFUSALS[fault.number]
            data = f"<Error><Code>{code}</Code><Message>made up</Message></Error>".encode()
            self._answer(fault.number, [("Content-Type", "application/xml")], data, None)
        else:
            return False
        return True

    def _asked(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.proxy.upstream, timeout=30)
        try:
            connection.request(self.command, self.path, body=body or None, headers=dict(self.headers.items()))
            response = connection.getresponse()
            headers = [(name, value) for name, value in response.getheaders() if name.lower() not in HOP]
            return response.status, headers, response.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes, fault: Fault | None) -> None:
        kind = fault.kind if fault else ""
        if kind == "lost":
            self._reset()
            return
        if kind == "flip" and data:
            middle = len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if kind == "cut":
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        elif kind == "slow" and fault:
            step = max(fault.number // 10, 1)
            for start in range(0, len(data), step):
                self.wfile.write(data[start : start + step])
                time.sleep(0.1)
        elif self.command != "HEAD":
            self.wfile.write(data)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
