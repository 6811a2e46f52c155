"""The HTTP/1.1 client: every framing of a response, malformed responses, and when a connection may be reused."""

from __future__ import annotations

import mmap
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.aws.http1 import MAX_HEAD_BYTES, Connection, ProtocolError, Response
from tests.support.servers import scripted_server

OK = b"HTTP/1.1 200 OK\r\n"


def exchange(pieces: Sequence[bytes], use: Callable[[Response], object] = Response.read) -> tuple[Response, object]:
    with scripted_server(pieces) as (address, _):
        connection = Connection(address, 5)
        response = connection.request("GET", "/", {})
        result = use(response)
        connection.close()
        return response, result


@pytest.mark.parametrize(
    "raw",
    [
        OK + b"Content-Length: 5\r\n\r\nhello",
        OK + b"content-length:5 \r\n\r\nhello",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: a\r\n\r\n",
        OK + b"Transfer-Encoding: Chunked\r\nContent-Length: 99\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        OK + b"\r\nhello",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        + OK
        + b"Content-Length: 5\r\n\r\nhello",
    ],
)
def test_a_body_is_read_with_every_framing_and_fragmentation(raw: bytes) -> None:
    for pieces in ([raw], [raw[i : i + 1] for i in range(len(raw))]):
        response, body = exchange(pieces)
        assert (response.status, body, response.ended) == (200, b"hello", True)


@pytest.mark.parametrize("head", [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 \r\nContent-Length: 9\r\n\r\n"])
def test_responses_204_and_304_have_no_body(head: bytes) -> None:
    response, body = exchange([head])
    assert (response.ended, body) == (True, b"")


def test_header_names_are_lower_case_and_repeated_headers_are_joined() -> None:
    response, _ = exchange([OK + b'X-A:  one \r\nETag: "1"\r\nx-a: two\r\nContent-Length: 0\r\n\r\n'])
    assert response.headers == {"x-a": "one, two", "etag": '"1"', "content-length": "0"}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "closed before the response"),
        (OK + b"Content-Le", "closed before the end of its headers"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP"),
        (b"HTTP/2 200\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 999 What\r\n\r\n", "not HTTP"),
        (OK + b" folded: line\r\n\r\n", "invalid header"),
        (OK + b"no colon\r\n\r\n", "invalid header"),
        (OK + b"Content-Length: -1\r\n\r\n", "invalid length"),
        (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "invalid length"),
        (OK + "Content-Length: ²\r\n\r\n".encode(), "invalid length"),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "encoded as"),
        (OK + b"Content-Length: 5\r\n\r\nhell", "1 bytes missing"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nx\r\n", "invalid length"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello", "invalid length"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n", "longer than its length says"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", "2 bytes missing"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "closed in the middle"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 200, "trailers do not end"),
        (OK + b"A: b\r\n" * (MAX_HEAD_BYTES // 5), "headers do not end"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * (2 * MAX_HEAD_BYTES), "does not end"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20, "again and again"),
    ],
)
def test_a_malformed_response_is_a_protocol_error_with_a_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        exchange([raw])


@given(st.binary(max_size=300))
def test_any_bytes_are_a_response_or_a_protocol_error(noise: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(OK + noise)
        theirs.shutdown(socket.SHUT_WR)
        connection = Connection("http://nowhere")
        connection.socket = ours
        try:
            connection.response().read()
        except ProtocolError:
            pass
        finally:
            connection.close()


def test_readinto_fills_the_callers_buffer() -> None:
    buffer = memoryview(bytearray(8))
    counts = []

    def read(response: Response) -> bytes:
        filled = 0
        while count := response.readinto(buffer[filled : filled + 3]):
            counts.append(count)
            filled += count
        return bytes(buffer[:filled])

    assert exchange([OK + b"Content-Length: 8\r\n\r\n12345678"], read)[1] == b"12345678"
    assert counts == [3, 3, 2]


def test_a_connection_is_reused_unless_closed_or_followed_by_more_bytes() -> None:
    for raw, reusable in (
        (OK + b"Content-Length: 2\r\n\r\nok", True),
        (OK + b"Content-Length: 2\r\nConnection: Close\r\n\r\nok", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", True),
        (OK + b"\r\nok", False),
        (OK + b"Content-Length: 2\r\n\r\nok" + OK + b"Content-Length: 6\r\n\r\nforged", False),
    ):
        with scripted_server([raw]) as (address, _):
            connection = Connection(address, 5)
            assert connection.request("GET", "/", {}).read() == b"ok"
            assert (connection.socket is not None) is reusable, raw
            connection.close()


def test_a_request_is_sent_at_once_with_its_length(tmp_path: Path) -> None:
    with scripted_server([OK + b"Content-Length: 0\r\n\r\n"]) as (address, received):
        connection = Connection(address, 5)
        connection.request("PUT", "/a?b", {"X-Name": "v"}, b"body")
        connection.close()
    host = address.removeprefix("http://")
    head = f"PUT /a?b HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: identity\r\nX-Name: v\r\nContent-Length: 4\r\n\r\n"
    assert received == [head.encode() + b"body"]
    (tmp_path / "file").write_bytes(b"x" * 100)
    with (tmp_path / "file").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        with scripted_server([OK + b"Content-Length: 0\r\n\r\n"]) as (address, received):
            connection = Connection(address, 5)
            assert connection.request("PUT", "/", {}, mapped).status == 200
            connection.close()
        assert b"Content-Length: 100\r\n\r\n" in received[0]


@pytest.mark.parametrize(("target", "value"), [("/a b", "c"), ("/a\r\nx: y", "c"), ("/", "a\r\nx: y"), ("/", "a\nb")])
def test_a_request_cannot_be_split(target: str, value: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        Connection("http://127.0.0.1:9").request("GET", target, {"a": value})


def test_a_closed_connection_is_a_protocol_error() -> None:
    connection = Connection("http://127.0.0.1:9")
    with pytest.raises(ProtocolError, match="closed"):
        connection.send(b"x")
    with pytest.raises(ProtocolError, match="closed"):
        connection.response()


def test_silence_is_a_timeout() -> None:
    with scripted_server([], close=False) as (address, _):
        connection = Connection(address, 0.2)
        with pytest.raises(TimeoutError):
            connection.request("GET", "/", {})
        connection.close()
