"""A client connection of HTTP/1.1, kept alive between requests.

`http.client` imports an email parser and all of TLS, a tenth of a cold start. This module has what signed requests
need: bodies are received directly into the caller's memory, and TLS is imported for the first https URL. Framing as in
RFC 9112.
"""

from __future__ import annotations

import mmap
import re
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl

MAX_HEAD_BYTES = 64 * 1024
"""Largest size of a status line with its headers, or of a chunk's first line."""
BLOCK_BYTES = 64 * 1024
"""Bytes received at a time."""
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: |$)")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*", re.DOTALL)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?", re.DOTALL)

Body = bytes | mmap.mmap


class ProtocolError(ConnectionError):
    """The server does not speak HTTP, or closed the connection in the middle of a response."""


class Connection:
    """A connection to the host of `address`, http or https, sock by the first request. Not thread-safe.

    Errors are OSError, including ProtocolError; the connection must be closed after an error.
    """

    def __init__(self, address: str, seconds: float | None = None, context: ssl.SSLContext | None = None) -> None:
        url = urlsplit(address)
        self._host, self._port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
        self._seconds, self._context = seconds, context
        self.host = url.netloc
        self.socket: socket.socket | None = None

    def __del__(self) -> None:
        self.close()

    def connect(self) -> socket.socket:
        """Connect within `seconds`, which stay the timeout of the socket."""
        sock = socket.create_connection((self._host, self._port), self._seconds)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is not None:
            sock = self._context.wrap_socket(sock, server_hostname=self._host)
        self.socket = sock
        return sock

    def close(self) -> None:
        sock, self.socket = self.socket, None
        if sock is not None:
            sock.close()

    def request(self, method: str, target: str, headers: Mapping[str, str], body: Body = b"") -> Response:
        """Send a request and read the head of its response, whose body must be read before the next request."""
        length = {"Content-Length": str(len(body))} if len(body) or method in ("POST", "PUT") else {}
        head = self._head(method, target, {**headers, **length})
        sock = self.socket or self.connect()
        if isinstance(body, bytes) and len(body) <= BLOCK_BYTES:
            sock.sendall(head + body)  # in one packet
        else:
            sock.sendall(head)
            sock.sendall(body)
        return self.response()

    def begin(self, method: str, target: str, headers: Mapping[str, str]) -> None:
        """Send the head of a request; the caller frames the body and sends it with `send`."""
        (self.socket or self.connect()).sendall(self._head(method, target, headers))

    def send(self, data: bytes) -> None:
        if self.socket is None:
            raise ProtocolError("the connection is closed")
        self.socket.sendall(data)

    def response(self) -> Response:
        """Read the head of the response."""
        if self.socket is None:
            raise ProtocolError("the connection is closed")
        return Response(self)

    def _head(self, method: str, target: str, headers: Mapping[str, str]) -> bytes:
        host = {} if "host" in headers else {"Host": self.host}  # signed requests include it
        fields = {**host, "Accept-Encoding": "identity", **headers}
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        if any("\r" in line or "\n" in line for line in lines) or " " in target:
            raise ValueError("a request's target and headers must be one line each")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Response:
    """Status and headers of a response, and its body as it arrives."""

    status: int
    headers: dict[str, str]
    """By names in lower case; repeated headers are joined by commas."""
    length: int | None
    """Remaining bytes of the body; None if the length is unknown."""
    ended: bool
    """Whether the body was read completely."""

    def __init__(self, connection: Connection) -> None:
        sock = connection.socket
        assert sock is not None  # noqa: S101 -- checked by the caller
        self._connection, self._socket, self._buffer = connection, sock, b""
        """Bytes that were received but not read yet."""
        for _ in range(8):
            version = self._read_head()
            if self.status >= 200:
                break
        else:
            raise ProtocolError("the server sends interim responses again and again")
        options = self.headers.get("connection", "").lower()
        self._close = "close" in options or (version == b"0" and "keep-alive" not in options)
        self._chunked, self._chunk = False, 0
        """Whether the body is chunked, and the remaining bytes of the current chunk."""
        self._frame()
        self.ended = self.length == 0
        if self.ended:
            self._finish()

    def read(self) -> bytes:
        """The rest of the body."""
        blocks = []
        while not self.ended:
            buffer = bytearray(BLOCK_BYTES)
            count = self.readinto(memoryview(buffer))
            blocks.append(memoryview(buffer)[:count])
        return b"".join(blocks)

    def readinto(self, buffer: memoryview) -> int:
        """Read buffered or newly received bytes into `buffer` and return their number; 0 at the end of the body."""
        if self.ended or not len(buffer):
            return 0
        if self._chunked and self._chunk == 0 and not self._next_chunk():
            return 0
        remaining = self._chunk if self._chunked else self.length
        count = self._read_available(buffer if remaining is None else buffer[:remaining])
        if remaining is None:
            if count == 0:
                self._finish()
        elif count == 0:
            raise ProtocolError(f"the response ended with {remaining} bytes missing")
        elif self._chunked:
            self._chunk -= count
            if self._chunk == 0 and self._line() != b"":
                raise ProtocolError("a chunk is longer than its length says")
        else:
            self.length = remaining - count
            if self.length == 0:
                self._finish()
        return count

    def _read_head(self) -> bytes:
        """Set status and headers, and return the minor version. Raises ProtocolError."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise ProtocolError("the response's headers do not end")
            self._receive("before the end of its headers" if self._buffer else "before the response")
        first, *lines = self._buffer[:end].split(b"\r\n")
        self._buffer = self._buffer[end + 4 :]
        matched = _STATUS.match(first)
        if matched is None:
            raise ProtocolError(f"the response is not HTTP: {first[:60]!r}")
        self.status, self.headers = int(matched[2]), {}
        for line in lines:
            field = _FIELD.fullmatch(line)
            if field is None:
                raise ProtocolError(f"the response has an invalid header {line[:60]!r}")
            name, value = field[1].decode("ascii").lower(), field[2].decode("latin-1")
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
        return matched[1]

    def _frame(self) -> None:
        """Set how the body is framed. HEAD is not supported."""
        encoding, length = self.headers.get("transfer-encoding"), self.headers.get("content-length")
        self.length = None
        if self.status in (204, 304):
            self.length = 0
        elif encoding is not None:
            if encoding.lower() != "chunked":
                raise ProtocolError(f"the response is encoded as {encoding[:60]!r}")
            self._chunked = True
        elif length is not None:
            if not (length.isascii() and length.isdecimal()):
                raise ProtocolError(f"the response has an invalid length {length[:60]!r}")
            self.length = int(length)
        else:
            self._close = True  # it ends with the connection

    def _next_chunk(self) -> bool:
        """Set the length of the next chunk; False after the last chunk and its trailers."""
        matched = _CHUNK.fullmatch(self._line())
        if matched is None:
            raise ProtocolError("a chunk of the response has an invalid length")
        self._chunk = int(matched[1], 16)
        if self._chunk:
            return True
        for _ in range(100):
            if self._line() == b"":
                self._finish()
                return False
        raise ProtocolError("the response's trailers do not end")

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise ProtocolError("a line of the response does not end")
            self._receive("in the middle of the response")
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        return line

    def _receive(self, where: str) -> None:
        received = self._socket.recv(BLOCK_BYTES)
        if not received:
            raise ProtocolError(f"the connection was closed {where}")
        self._buffer += received

    def _read_available(self, buffer: memoryview) -> int:
        if self._buffer:
            count = min(len(buffer), len(self._buffer))
            buffer[:count], self._buffer = self._buffer[:count], self._buffer[count:]
            return count
        return self._socket.recv_into(buffer)

    def _finish(self) -> None:
        """End the body. Extra bytes would be read as the next response, so the connection is closed then."""
        self.ended = True
        if self._close or self._buffer:
            self._connection.close()
