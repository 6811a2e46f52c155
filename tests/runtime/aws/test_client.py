"""Signatures equal the SDK's; connections are kept, replaced and dropped; a wrong clock is corrected."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from hearth import deadline
from hearth.aws import client
from hearth.aws.client import Endpoint, forget_connections, signing_key

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG", "AWS_REGION": "eu-west-1"}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def kept_alive(*responses: bytes, per_connection: int = 100) -> Iterator[tuple[str, list[tuple[int, bytes]]]]:
    """A server that gives the responses in turn, `per_connection` on each connection and then closes it; its address,
    and the number of the connection and the bytes of each request."""
    received: list[tuple[int, bytes]] = []
    remaining = iter(responses)

    def serve(listener: socket.socket) -> None:
        number = 0
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            number += 1
            threading.Thread(target=answer, args=(connection, number), daemon=True).start()

    def answer(connection: socket.socket, number: int) -> None:
        with connection:
            for _ in range(per_connection):
                if not (request := connection.recv(1 << 16)):
                    return
                received.append((number, request))
                connection.sendall(next(remaining))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", received
        listener.shutdown(socket.SHUT_RDWR)


def headers_of(request: bytes) -> dict[str, str]:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return dict(line.split(": ", 1) for line in lines)


@pytest.mark.parametrize("token", ["", "session-token"])
def test_a_signature_equals_the_sdks(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    monkeypatch.setattr(client.time, "time", now.timestamp)
    environ = KEYS | ({"AWS_SESSION_TOKEN": token} if token else {})
    body = b'{"QueueUrl": 1}'
    with kept_alive(OK) as (address, received):
        endpoint = Endpoint(address, "s3", environ)
        response = endpoint.send("POST", "/a%20b/", "x=1&y=%2F", {"content-type": " text/plain "}, body)
        assert response.read() == b"ok"
        endpoint.drop()
    headers = headers_of(received[0][1])
    assert received[0][1].startswith(b"POST /a%20b/?x=1&y=%2F HTTP/1.1\r\n")
    assert headers["x-amz-date"] == "20260102T030405Z"
    assert headers["x-amz-content-sha256"] == hashlib.sha256(body).hexdigest()
    assert headers.get("x-amz-security-token", "") == token
    signed = {name: headers[name] for name in ("content-type", "host", "x-amz-content-sha256")}
    request = AWSRequest("POST", f"{address}/a%20b/?x=1&y=%2F", signed, body)
    request.context["timestamp"] = headers["x-amz-date"]
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: now.replace(tzinfo=None))
    sdk = S3SigV4Auth(
        Credentials(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"], token or None), "s3", "eu-west-1"
    )
    sdk.add_auth(request)
    assert headers["authorization"] == request.headers["Authorization"]


def test_the_signing_key_is_that_of_the_documentation() -> None:
    """The example of "Examples of how to derive a signing key" in AWS's General Reference."""
    from hearth.aws.credentials import Credentials

    secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    key = signing_key(Credentials("", secret, None), "20150830", "us-east-1", "iam")
    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"


def test_a_connection_is_kept_and_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    with kept_alive(*[OK] * 5) as (address, received):
        endpoint = Endpoint(address, "s3", KEYS)
        for _ in range(2):
            assert endpoint.send("GET", "/").read() == b"ok"
        endpoint.drop()
        endpoint.send("GET", "/").read()
        forget_connections()
        endpoint.send("GET", "/").read()
        thread = threading.Thread(target=lambda: endpoint.send("GET", "/").read())
        thread.start()
        thread.join()
        endpoint.drop()
        endpoint.drop()  # twice is no error
    assert [number for number, _ in received] == [1, 1, 2, 3, 4]
    assert received[0][1].startswith(b"GET / HTTP/1.1\r\n")


def test_a_kept_connection_that_was_closed_is_replaced_once() -> None:
    with kept_alive(*[OK] * 3, per_connection=1) as (address, received):
        endpoint = Endpoint(address, "s3", KEYS)
        for _ in range(3):
            assert endpoint.send("GET", "/").read() == b"ok"
        endpoint.drop()
    assert [number for number, _ in received] == [1, 2, 3]


def test_a_failed_new_connection_is_an_error_and_is_not_kept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    endpoint = Endpoint(address, "s3", KEYS)
    with pytest.raises(ConnectionRefusedError):
        endpoint.send("GET", "/")
    with kept_alive(b"garbage\r\n\r\n", OK) as (address, received):
        endpoint = Endpoint(address, "s3", KEYS)
        with pytest.raises(ConnectionError):
            endpoint.send("GET", "/")
        assert endpoint.send("GET", "/").read() == b"ok"
        endpoint.drop()
    assert [number for number, _ in received] == [1, 2]


def refusal(clock: float, length: int = 2) -> bytes:
    date = formatdate(clock, usegmt=True)
    return f"HTTP/1.1 403 No\r\nDate: {date}\r\nContent-Length: {length}\r\n\r\nno".encode()


@pytest.mark.parametrize("seconds", [400, -400])
def test_a_refusal_that_shows_a_wrong_clock_is_signed_again(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_800_000_000.0
    monkeypatch.setattr(client.time, "time", lambda: now)
    with kept_alive(refusal(now + seconds), OK, OK, refusal(now + seconds + 10)) as (address, received):
        endpoint = Endpoint(address, "s3", KEYS)
        for _ in range(2):
            assert endpoint.send("GET", "/", headers={"x": "1"}, body=b"abc").read() == b"ok"
        refused = endpoint.send("GET", "/")
        assert (refused.status, refused.read()) == (403, b"no")  # the clock is right by now: the refusal stands
        endpoint.drop()
    stamp = [time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now + offset)) for offset in (0, seconds)]
    assert [headers_of(request)["x-amz-date"] for _, request in received] == [stamp[0], *[stamp[1]] * 3]
    assert all(headers_of(request)["x"] == "1" and request.endswith(b"abc") for _, request in received[:3])
    assert {number for number, _ in received} == {1}


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 403 No\r\nDate: yesterday\r\nContent-Length: 2\r\n\r\nno",
        refusal(1_800_000_100),
        refusal(0).replace(b"403", b"404"),
    ],
    ids=["no date", "no valid date", "the clock is right", "another status"],
)
def test_other_refusals_are_returned(response: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.time, "time", lambda: 1_800_000_000.0)
    with kept_alive(response) as (address, received):
        endpoint = Endpoint(address, "s3", KEYS)
        assert endpoint.send("GET", "/").read() == b"no"
        endpoint.drop()
    assert len(received) == 1


@pytest.mark.parametrize(("remaining", "seconds"), [(None, 7.0), (100.0, 7.0), (2.0, 2.0), (-5.0, 0.1)])
def test_a_read_waits_no_longer_than_the_request_may_take(
    remaining: float | None, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline, "remaining", lambda: remaining)
    timeouts: list[Any] = []
    with kept_alive(OK, OK) as (address, _):
        endpoint = Endpoint(address, "s3", KEYS, read_seconds=7.0)
        for _ in range(2):  # a new connection, and the kept one
            endpoint.send("GET", "/").read()
            timeouts.append(endpoint._local.connection.socket.gettimeout())
            endpoint._local.connection.socket.settimeout(99)
        endpoint.drop()
    assert timeouts == [pytest.approx(seconds)] * 2


def test_a_connection_is_tried_for_a_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[Any] = []

    def refuse(address: tuple[str, int], seconds: float | None) -> socket.socket:
        attempts.append((address, seconds))
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", refuse)
    for address in ("https://bucket.s3.eu-west-1.amazonaws.com", "http://127.0.0.1:99"):
        with pytest.raises(TimeoutError):
            Endpoint(address, "s3", KEYS).send("GET", "/")
    assert attempts == [
        (("bucket.s3.eu-west-1.amazonaws.com", 443), client.CONNECT_SECONDS),
        (("127.0.0.1", 99), client.CONNECT_SECONDS),
    ]
