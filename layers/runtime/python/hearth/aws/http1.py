"""A client's connection of HTTP/1.1, kept from one request to the next.

`http.client` imports a parser of mail and all of TLS, a tenth of a cold start. This is what a signed request needs of
it: bodies go straight into the caller's memory, and TLS is imported by the first https. Framing as in RFC 9112.
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

LONGEST_HEAD = 64 * 1024
"""Bytes of a status line and its headers, or of a chunk's line, at most."""
PIECE = 64 * 1024
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: |$)")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*", re.DOTALL)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?", re.DOTALL)

Body = bytes | mmap.mmap


class Broken(ConnectionError):
    """The other side does not speak HTTP, or stopped in the middle of an answer."""


class Connection:
    """To the host of `address`, http or https, opened by the first request. Not for two threads at once.

    Errors are OSError, of which Broken is one; after one the connection is to be closed.
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
        """Within `seconds`, which also bound each later wait until the socket is told otherwise."""
        opened = socket.create_connection((self._host, self._port), self._seconds)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is not None:
            opened = self._context.wrap_socket(opened, server_hostname=self._host)
        self.socket = opened
        return opened

    def close(self) -> None:
        opened, self.socket = self.socket, None
        if opened is not None:
            opened.close()

    def request(self, method: str, target: str, headers: Mapping[str, str], body: Body = b"") -> Response:
        """Send a request and read the head of its answer, whose body must be read before the next request."""
        length = {"Content-Length": str(len(body))} if len(body) or method in ("POST", "PUT") else {}
        head = self._head(method, target, {**headers, **length})
        opened = self.socket or self.connect()
        if isinstance(body, bytes) and len(body) <= PIECE:
            opened.sendall(head + body)  # in one packet
        else:
            opened.sendall(head)
            opened.sendall(body)
        return self.response()

    def begin(self, method: str, target: str, headers: Mapping[str, str]) -> None:
        """Send the head of a request, whose body goes by `send`, framed by the caller."""
        (self.socket or self.connect()).sendall(self._head(method, target, headers))

    def send(self, data: bytes) -> None:
        if self.socket is None:
            raise Broken("the connection is closed")
        self.socket.sendall(data)

    def response(self) -> Response:
        """The head of the answer to what was sent."""
        if self.socket is None:
            raise Broken("the connection is closed")
        return Response(self)

    def _head(self, method: str, target: str, headers: Mapping[str, str]) -> bytes:
        ours = {} if "host" in headers else {"Host": self.host}  # where it is signed it is there
        fields = {**ours, "Accept-Encoding": "identity", **headers}
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        if any("\r" in line or "\n" in line for line in lines) or " " in target:
            raise ValueError("a request's target and headers are of one line each")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Response:
    """Status and headers of an answer, and its body as it arrives."""

    status: int
    headers: dict[str, str]
    """By names in small letters; what came several times is joined by commas."""
    length: int | None
    """Bytes of the body that are to come, where that was said."""
    ended: bool
    """Whether the body was read to its end."""

    def __init__(self, connection: Connection) -> None:
        opened = connection.socket
        assert opened is not None  # noqa: S101 -- its maker has looked
        self._connection, self._socket, self._kept = connection, opened, b""
        """Of what was received, the bytes that nobody has taken yet."""
        for _ in range(8):
            version = self._read_head()
            if self.status >= 200:
                break
        else:
            raise Broken("the server announces an answer again and again")
        said = self.headers.get("connection", "").lower()
        self._close = "close" in said or (version == b"0" and "keep-alive" not in said)
        self._chunked, self._chunk = False, 0
        """Bytes that are left of a chunk and of the line's end after it."""
        self._frame()
        self.ended = self.length == 0
        if self.ended:
            self._end()

    def read(self) -> bytes:
        """All that is left of the body."""
        pieces = []
        while not self.ended:
            buffer = bytearray(PIECE)
            count = self.readinto(memoryview(buffer))
            pieces.append(memoryview(buffer)[:count])
        return b"".join(pieces)

    def readinto(self, buffer: memoryview) -> int:
        """Fill a part of `buffer`, with what is there already or else with what comes next; 0 at the body's end."""
        if self.ended or not len(buffer):
            return 0
        if self._chunked and self._chunk == 0 and not self._next_chunk():
            return 0
        left = self._chunk if self._chunked else self.length
        count = self._take(buffer if left is None else buffer[:left])
        if left is None:
            if count == 0:
                self._end()
        elif count == 0:
            raise Broken(f"the answer stopped with {left} bytes to come")
        elif self._chunked:
            self._chunk -= count
            if self._chunk == 0 and self._line() != b"":
                raise Broken("a chunk is longer than it says")
        else:
            self.length = left - count
            if self.length == 0:
                self._end()
        return count

    def _read_head(self) -> bytes:
        """Set status and headers; returns the minor version. Raises Broken."""
        while (end := self._kept.find(b"\r\n\r\n")) < 0:
            if len(self._kept) > LONGEST_HEAD:
                raise Broken("the answer's headers do not end")
            self._more("before its headers ended" if self._kept else "before it answered")
        first, *lines = self._kept[:end].split(b"\r\n")
        self._kept = self._kept[end + 4 :]
        matched = _STATUS.match(first)
        if matched is None:
            raise Broken(f"the answer is no HTTP: {first[:60]!r}")
        self.status, self.headers = int(matched[2]), {}
        for line in lines:
            field = _FIELD.fullmatch(line)
            if field is None:
                raise Broken(f"the answer has no header in {line[:60]!r}")
            name, value = field[1].decode("ascii").lower(), field[2].decode("latin-1")
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
        return matched[1]

    def _frame(self) -> None:
        """Set how the body ends. Nothing here asks with HEAD."""
        encoding, length = self.headers.get("transfer-encoding"), self.headers.get("content-length")
        self.length = None
        if self.status in (204, 304):
            self.length = 0
        elif encoding is not None:
            if encoding.lower() != "chunked":
                raise Broken(f"the answer is encoded as {encoding[:60]!r}")
            self._chunked = True
        elif length is not None:
            if not (length.isascii() and length.isdecimal()):
                raise Broken(f"the answer has no length in {length[:60]!r}")
            self.length = int(length)
        else:
            self._close = True  # it ends with the connection

    def _next_chunk(self) -> bool:
        """Set the length of the next chunk; False after the last one, and what follows it."""
        matched = _CHUNK.fullmatch(self._line())
        if matched is None:
            raise Broken("the answer's chunks have no length")
        self._chunk = int(matched[1], 16)
        if self._chunk:
            return True
        for _ in range(100):
            if self._line() == b"":
                self._end()
                return False
        raise Broken("the answer's trailers do not end")

    def _line(self) -> bytes:
        while (end := self._kept.find(b"\r\n")) < 0:
            if len(self._kept) > LONGEST_HEAD:
                raise Broken("a line of the answer does not end")
            self._more("in the middle")
        line, self._kept = self._kept[:end], self._kept[end + 2 :]
        return line

    def _more(self, where: str) -> None:
        received = self._socket.recv(PIECE)
        if not received:
            raise Broken(f"the connection was closed {where}")
        self._kept += received

    def _take(self, buffer: memoryview) -> int:
        if self._kept:
            count = min(len(buffer), len(self._kept))
            buffer[:count], self._kept = self._kept[:count], self._kept[count:]
            return count
        return self._socket.recv_into(buffer)

    def _end(self) -> None:
        """What follows an answer unasked would be taken for the next one."""
        self.ended = True
        if self._close or self._kept:
            self._connection.close()
