"""The local server drops clients that send headers too slowly, keeps idle connections, and bounds their number."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import threading
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from starlette.responses import PlainTextResponse, StreamingResponse

from hearth import settings
from hearth.http import server
from hearth.protocols.base import Request
from hearth.protocols.open_inference import metadata

OK = PlainTextResponse("ok")
HEAD = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"


@contextmanager
def running(app: Any = OK) -> Iterator[int]:
    """The port of a server for an ASGI app."""
    running = uvicorn.Server(server.config(app, "127.0.0.1", 0))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive()
    yield running.servers[0].sockets[0].getsockname()[1]
    running.should_exit = running.force_exit = True
    thread.join(20)


Connect = Callable[[], Awaitable["Client"]]


def run(scenario: Callable[[Connect], Awaitable[None]], app: Any = OK) -> None:
    """Run a scenario against a server for an ASGI app, and close its clients."""

    async def with_clients(port: int) -> None:
        clients: list[Client] = []

        async def connect() -> Client:
            clients.append(Client(*await asyncio.open_connection("127.0.0.1", port)))
            return clients[-1]

        try:
            await scenario(connect)
        finally:
            for client in clients:
                client.writer.close()
                with contextlib.suppress(OSError):
                    await client.writer.wait_closed()

    with running(app) as port:
        asyncio.run(with_clients(port))


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def get(self) -> bytes:
        self.writer.write(HEAD)
        return await asyncio.wait_for(self.reader.readuntil(b"ok"), 10)

    async def is_closed(self, seconds: float) -> bool:
        """Whether the server closes the connection within some seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                with contextlib.suppress(OSError):
                    await self.reader.read()
                return True
        return False


@pytest.fixture
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.3)


@pytest.mark.usefixtures("short_wait")
def test_headers_that_do_not_arrive_end_the_connection_and_others_are_answered() -> None:
    async def scenario(connect: Connect) -> None:
        silent, half, dripping = [await connect() for _ in range(3)]
        half.writer.write(HEAD[:20])

        async def drip() -> None:
            for byte in HEAD * 20:
                dripping.writer.write(bytes([byte]) if byte != 13 else b"x")
                await asyncio.sleep(0.05)

        task = asyncio.create_task(drip())
        assert (await (await connect()).get()).startswith(b"HTTP/1.1 200")
        for client in (silent, half, dripping):
            assert await client.is_closed(10)
        task.cancel()

    run(scenario)


@pytest.mark.usefixtures("short_wait")
def test_an_idle_connection_is_kept_and_a_second_half_request_on_it_is_dropped() -> None:
    async def scenario(connect: Connect) -> None:
        client = await connect()
        await client.get()
        assert not await client.is_closed(1)
        await client.get()
        client.writer.write(HEAD[:20])
        assert await client.is_closed(10)

    run(scenario)


def test_a_client_that_stops_reading_a_stream_is_closed_and_one_that_reads_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "READ_SECONDS", 0.5)
    ended = list[str]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            while True:
                yield bytes(64 * 1024)
                await asyncio.sleep(0)

        if scope["type"] == "http":
            try:
                await StreamingResponse(pieces())(scope, receive, send)
            finally:
                ended.append(scope["path"])

    async def scenario(connect: Connect) -> None:
        silent, reading = await connect(), await connect()
        for client, path in ((silent, b"/silent"), (reading, b"/reading")):
            client.writer.write(HEAD.replace(b"/", path, 1))
        async with asyncio.timeout(20):
            while not ended:
                assert await reading.reader.read(1 << 20)
        assert ended == ["/silent"]

    run(scenario, app)


def test_beyond_the_limit_the_oldest_waiting_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 10)

    async def scenario(connect: Connect) -> None:
        waiting = [await connect() for _ in range(20)]
        await (await connect()).get()
        closed = [await client.is_closed(0.2) for client in waiting]
        assert sum(closed) >= 11
        assert closed == sorted(closed, reverse=True)

    run(scenario)


def test_idle_connections_live_longer_than_those_of_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    settings.get.cache_clear()
    assert server.config(None, "127.0.0.1", 0).timeout_keep_alive == 75
    monkeypatch.setenv("HEARTH_KEEP_ALIVE_SECONDS", "5")
    settings.get.cache_clear()
    assert server.config(None, "127.0.0.1", 0).timeout_keep_alive == 5
    settings.get.cache_clear()


def test_memory_is_returned_where_the_c_library_can(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda name, value: calls.append((name, value)))
    monkeypatch.setattr(server.ctypes, "CDLL", lambda name: library)
    server.return_freed_memory()
    assert calls == [(-3, 4_194_304), (-8, 4)]
    monkeypatch.setattr(server.ctypes, "CDLL", lambda name: object())
    server.return_freed_memory()  # musl has no mallopt


def test_after_sigterm_requests_are_taken_until_balancers_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_DRAIN_SECONDS", "0.5")
    settings.get.cache_clear()
    draining = server.Server(server.config(PlainTextResponse("ok"), "127.0.0.1", 0))
    thread = threading.Thread(target=draining.run, daemon=True)
    thread.start()
    while not draining.started:
        assert thread.is_alive()
    port = draining.servers[0].sockets[0].getsockname()[1]
    try:
        draining.handle_exit(signal.SIGTERM, None)
        ready = metadata.server_ready(Request(()))
        assert (ready.status, json.loads(ready.body)["ready"]) == (503, False)
        assert metadata.server_live(Request(())).status == 200
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as response:
            assert response.read() == b"ok"
        assert thread.is_alive()
        thread.join(20)
        assert not thread.is_alive()
    finally:
        metadata.set_draining(False)
        settings.get.cache_clear()
    assert metadata.server_ready(Request(())).status == 200


@pytest.mark.parametrize("signals", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT,)])
def test_a_second_signal_or_an_interrupt_ends_at_once(
    monkeypatch: pytest.MonkeyPatch, signals: tuple[signal.Signals, ...]
) -> None:
    monkeypatch.setenv("HEARTH_DRAIN_SECONDS", "60")
    settings.get.cache_clear()
    ending = server.Server(server.config(PlainTextResponse("ok"), "127.0.0.1", 0))
    try:
        for number in signals:
            assert not ending.should_exit
            ending.handle_exit(number, None)
        assert ending.should_exit
    finally:
        metadata.set_draining(False)
        settings.get.cache_clear()
