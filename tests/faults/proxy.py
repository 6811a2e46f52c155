"""A proxy for an HTTP service that records its calls and injects the faults of a plan."""

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

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
CLOCK_SECONDS = 900
"""Clock skew in seconds that S3 tolerates in a signature."""


@dataclass(frozen=True)
class Call:
    number: int
    """Counted from 1 since the plan was set."""
    method: str
    path: str
    """Path with query string."""


@dataclass(frozen=True)
class Fault:
    """What happens instead of the service's response.

    `reset`: the connection ends before the call has an effect; `lost`: after it; `cut`: half of the response's body;
    `flip`: one bit of it is flipped; `slow`: `number` bytes per second; `silence`: no response; `garbage`: not HTTP;
    `status`: `number` with `code`; `clock`: the service's clock is `number` seconds ahead, and it refuses signatures
    with too much skew.
    """

    kind: str
    number: int = 0
    code: str = ""


Plan = Callable[[Call], Fault | None]
REFUSALS = {403: "AccessDenied", 404: "NoSuchKey", 412: "PreconditionFailed", 429: "SlowDown", 503: "SlowDown"}


def always(fault: Fault, path_part: str = "", times: int = 10**9) -> Plan:
    """A plan that injects the fault into the first `times` calls whose path contains `path_part`."""
    remaining = [times]

    def plan(call: Call) -> Fault | None:
        if path_part not in call.path or not remaining[0]:
            return None
        remaining[0] -= 1
        return fault

    return plan


@dataclass
class Proxy:
    upstream: str
    url: str = ""
    plan: Plan | None = None
    calls: list[Call] = field(default_factory=list)
    fault_count: int = 0
    skew: float = 0.0
    """Seconds that the service's clock is ahead of this machine's."""

    def set(self, plan: Plan | None) -> None:
        """Use another plan and restart the counters."""
        self.calls, self.fault_count, self.plan = [], 0, plan


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
            self.close_connection = True  # the client has disconnected

    def _relay(self) -> None:
        proxy = self.proxy
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        call = Call(len(proxy.calls) + 1, self.command, self.path)
        proxy.calls.append(call)
        fault = proxy.plan(call) if proxy.plan else None
        if fault and fault.kind == "clock":
            proxy.skew = fault.number
            fault = Fault("status", 403, "RequestTimeTooSkewed") if self._is_skewed() else None
        proxy.fault_count += fault is not None
        if fault and self._replace_response(fault):
            return
        status, headers, data = self._forward(body)
        self._respond(status, headers, data, fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _relay

    def _is_skewed(self) -> bool:
        signed = datetime.strptime(self.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return abs(signed.timestamp() - time.time() - self.proxy.skew) > CLOCK_SECONDS

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(time.time() + self.proxy.skew)

    def _replace_response(self, fault: Fault) -> bool:
        """Inject a fault without calling the service; return whether the fault is of such a kind."""
        if fault.kind == "reset":
            self._reset()
        elif fault.kind == "silence":
            self.connection.recv(1)  # until the client gives up
            self.close_connection = True
        elif fault.kind == "garbage":
            self.connection.sendall(b"\x00\xff this is not HTTP\r\n\r\n")
            self.close_connection = True
        elif fault.kind == "status":
            code = fault.code or REFUSALS[fault.number]
            data = f"<Error><Code>{code}</Code><Message>made up</Message></Error>".encode()
            self._respond(fault.number, [("Content-Type", "application/xml")], data, None)
        else:
            return False
        return True

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.proxy.upstream, timeout=30)
        try:
            connection.request(self.command, self.path, body=body or None, headers=dict(self.headers.items()))
            response = connection.getresponse()
            headers = [(name, value) for name, value in response.getheaders() if name.lower() not in HOP_BY_HOP]
            return response.status, headers, response.read()
        finally:
            connection.close()

    def _respond(self, status: int, headers: list[tuple[str, str]], data: bytes, fault: Fault | None) -> None:
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
