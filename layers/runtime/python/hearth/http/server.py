"""The local HTTP server: uvicorn with deadlines for what clients send slowly, and a bound on their connections.

uvicorn itself limits only the time between two requests: a client could hold a connection with half a header for as
long as it likes (Slowloris), and a stream with its place among the requests by not reading it.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import math
import os
import signal
import socket
import time
import weakref
from types import FrameType
from typing import Any, ClassVar

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from hearth import settings
from hearth.errors import SettingsError
from hearth.protocols.open_inference import metadata

HEADER_SECONDS = 10.0
"""Seconds in which a client must send the headers of a request."""
READ_SECONDS = 60.0
"""Seconds in which a client must read some of a response that is ready."""
MAX_CONNECTIONS = 512
"""Open connections beyond which those that wait for headers are closed, the oldest first."""

LARGE_BLOCK = 4 * 1024 * 1024
"""Bytes from which a block of memory is returned at once; smaller ones are cheaper to keep."""
MAX_ARENAS = 4


class Connection(H11Protocol):
    """A connection that is closed if headers do not arrive in time, or if the client stops reading."""

    _waiting: ClassVar[weakref.WeakKeyDictionary[Any, dict[Connection, None]]] = weakref.WeakKeyDictionary()
    """By server: its connections that wait for headers, oldest first."""
    _timer: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_headers()
        if len(self.connections) > MAX_CONNECTIONS:
            oldest = next(iter(self._others()), None)
            if oldest is not None:
                oldest.close()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif not self.transport.is_closing():
            self._wait_for_headers()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._others()[self] = None  # an idle connection may be closed when there are too many

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reading(math.inf)

    def resume_writing(self) -> None:
        self._stop_expecting()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_expecting()
        super().connection_lost(exc)

    def close(self) -> None:
        self._stop_waiting()
        self.transport.abort()

    def _expect_reading(self, before: float) -> None:
        """Close the connection if as many bytes wait to be sent as `before`, and otherwise look again later."""
        unsent = self.transport.get_write_buffer_size()
        if unsent >= before:
            self.close()
        else:
            self._reading = self.loop.call_later(READ_SECONDS, self._expect_reading, unsent)

    def _stop_expecting(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _others(self) -> dict[Connection, None]:
        return self._waiting.setdefault(self.server_state, {})

    def _wait_for_headers(self) -> None:
        self._others().setdefault(self, None)
        if self._timer is None:
            self._timer = self.loop.call_later(HEADER_SECONDS, self.close)

    def _stop_waiting(self) -> None:
        self._others().pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on an address; port 0 is any free one. Raises SettingsError."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except socket.gaierror as error:
        raise SettingsError(f"{host} is not an address of this machine: {error.strerror}") from None
    except OSError as error:
        advice = "choose another with --port" if error.errno == errno.EADDRINUSE else "choose another address"
        raise SettingsError(
            f"Cannot listen on {host}, port {port}: {os.strerror(error.errno or 0)}; {advice}"
        ) from None


def config(app: Any, host: str, port: int) -> uvicorn.Config:
    """The configuration of a server for an ASGI app."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Connection,
        ws="none",
        log_level="warning",
        # Proxies reuse connections for 60 s (nginx, ALB); a server that closes first causes 502s.
        timeout_keep_alive=round(settings.get().keep_alive_seconds),
        timeout_graceful_shutdown=math.ceil(settings.get().run_seconds),  # no request takes longer
    )


class Server(uvicorn.Server):
    """A server that drains after SIGTERM: for HEARTH_DRAIN_SECONDS it says that it is not ready and takes requests all
    the same, since balancers learn it later; then it takes no more, and those that run have HEARTH_RUN_SECONDS to end.

    A second signal ends the first part at once.
    """

    _drained_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        seconds = settings.get().drain_seconds
        if sig == signal.SIGTERM and seconds and self._drained_at is None:
            self._drained_at = time.monotonic() + seconds
            self._captured_signals.append(sig)
            metadata.set_draining(True)
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        if self._drained_at is not None and time.monotonic() >= self._drained_at:
            self.should_exit = True
        return await super().on_tick(counter)


def run(app: Any, listener: socket.socket) -> None:
    """Serve an ASGI app until the process is terminated."""
    return_freed_memory()
    Server(config(app, *listener.getsockname()[:2])).run(sockets=[listener])


def return_freed_memory() -> None:
    """Let the C library return large blocks to the system when they are freed.

    By default glibc keeps blocks of up to 32 MB for later, in an arena for each of many threads: after 40 concurrent
    pictures of 16 megapixels, 6 GB. See M_MMAP_THRESHOLD and M_ARENA_MAX in mallopt(3); other libraries have neither.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(-3, LARGE_BLOCK)
        mallopt(-8, MAX_ARENAS)
