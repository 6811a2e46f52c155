"""HTTP servers of the tests, each on its own thread."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import ThreadingHTTPServer


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[str]:
    """Run the server during the block; yield its URL."""
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def http_responses(*answers: tuple[int, bytes]) -> list[list[bytes]]:
    """Responses of these statuses and bodies for `scripted_server`, one a connection."""
    return [
        [b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body)]
        for status, body in answers
    ]


@contextmanager
def scripted_server(
    *responses: Sequence[bytes], close: bool = True, until: bytes = b""
) -> Iterator[tuple[str, list[bytes]]]:
    """Accept one connection at a time and send its response in pieces after the request, which is read until it ends
    with `until`; yield the server's address and the list of received bytes."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for pieces in responses:
                connection, _ = listener.accept()
                with connection:
                    request = connection.recv(1 << 20)
                    while not request.endswith(until) and (more := connection.recv(1 << 20)):
                        request += more
                    received.append(request)
                    for piece in pieces:
                        connection.sendall(piece)
                    if not close:
                        received.append(connection.recv(1 << 20))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", received
        thread.join(5)


def take_interrupts() -> None:
    """For `preexec_fn`: a command is interrupted by SIGINT even if a shell started the tests in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
