"""A fake Runtime API on raw sockets, controlled by the test: it reads what the runtime sends byte by byte, and sends
or reads more only when the test says so."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from hearth import __version__
from tests.support import guardian
from tests.support.layers import HANDLER, ROOT, layer, python313

SECONDS = 20
REQUEST_ID = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
NEXT = "GET /2018-06-01/runtime/invocation/next HTTP/1.1"
RESPONSE = f"POST /2018-06-01/runtime/invocation/{REQUEST_ID}/response HTTP/1.1"
ERROR = f"POST /2018-06-01/runtime/invocation/{REQUEST_ID}/error HTTP/1.1"
INIT_ERROR = "POST /2018-06-01/runtime/init/error HTTP/1.1"
WRAPPER = ROOT / "layers/runtime/bootstrap-stream"


@dataclass(frozen=True)
class Head:
    line: str
    headers: list[tuple[str, str]]

    def __getitem__(self, name: str) -> str:
        """Return the header of this name. Raises ValueError if there is none or more than one."""
        (value,) = [value for key, value in self.headers if key.lower() == name.lower()]
        return value


class RuntimeApi:
    """A context manager; one runtime at a time connects to it."""

    def __enter__(self) -> RuntimeApi:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(SECONDS)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.connection: socket.socket | None = None
        self.connections = 0
        self.buffer = b""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.drop()
        self.listener.close()

    def drop(self, *, reset: bool = False) -> None:
        """Close the connection, optionally with a reset."""
        if self.connection:
            if reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.connection.close()
        self.connection, self.buffer = None, b""

    def receive(self) -> None:
        """Receive bytes into the buffer; accept a new connection if the old one has ended."""
        while True:
            if self.connection is None:
                self.connection, _ = self.listener.accept()
                self.connection.settimeout(SECONDS)
                self.connections += 1
            if received := self.connection.recv(65536):
                self.buffer += received
                return
            if self.buffer:
                raise EOFError(f"the connection ended within {self.buffer[:200]!r}")
            self.drop()

    def read_until(self, end: bytes) -> bytes:
        while end not in self.buffer:
            self.receive()
        data, self.buffer = self.buffer.split(end, 1)
        return data

    def read_exactly(self, length: int) -> bytes:
        while len(self.buffer) < length:
            self.receive()
        data, self.buffer = self.buffer[:length], self.buffer[length:]
        return data

    def head(self) -> Head:
        line, *fields = self.read_until(b"\r\n\r\n").decode("ascii").split("\r\n")
        return Head(line, [(name, value) for name, _, value in (field.partition(": ") for field in fields)])

    def request(self) -> tuple[Head, bytes]:
        """Read a request whose body has a Content-Length."""
        head = self.head()
        length = {name.lower(): value for name, value in head.headers}.get("content-length", "0")
        return head, self.read_exactly(int(length))

    def chunk(self) -> bytes:
        """Read one chunk; an empty one is the last, and `trailers` reads what follows it."""
        size = self.read_until(b"\r\n")
        assert size == b"%x" % int(size, 16), f"{size!r} is not a plain chunk size"
        if not int(size, 16):
            return b""
        data = self.read_exactly(int(size, 16))
        assert self.read_exactly(2) == b"\r\n"
        return data

    def trailers(self) -> list[tuple[str, str]]:
        fields = []
        while line := self.read_until(b"\r\n").decode("ascii"):
            name, _, value = line.partition(": ")
            fields.append((name, value))
        assert self.buffer == b"", "the runtime went on before it had a response"
        return fields

    def send(self, status: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items())]
        assert self.connection is not None
        self.connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def offer(self, event: object, **headers: str) -> Head:
        """Answer the request for the next event; the runtime must have sent nothing else."""
        head, body = self.request()
        assert head.line == NEXT, head
        assert body == b""
        raw = event if isinstance(event, bytes) else json.dumps(event).encode()
        fields = {
            "Lambda-Runtime-Aws-Request-Id": REQUEST_ID,
            "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 30_000),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:123456789012:function:streaming",
            "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
        }
        self.send("200 OK", raw, fields | {name.replace("_", "-"): value for name, value in headers.items()})
        return head

    def accept(self) -> None:
        self.send("202 Accepted", b'{"status":"OK"}')

    def whole(self, event: object, **headers: str) -> bytes:
        """Send an event; return the body of its buffered response."""
        self.offer(event, **headers)
        head, body = self.request()
        assert head.line == RESPONSE, (head, body)
        assert not any(name.lower().startswith("lambda-runtime-function") for name, _ in head.headers)
        self.accept()
        return body

    def streamed(self, event: object, **headers: str) -> tuple[dict[str, object], bytes]:
        """Send an event; return prelude and body of its streamed response."""
        self.offer(event, **headers)
        self.streaming_head()
        chunks = list(iter(self.chunk, b""))
        assert self.trailers() == []
        self.accept()
        prelude, _, body = b"".join(chunks).partition(bytes(8))
        return json.loads(prelude), body

    def streaming_head(self) -> Head:
        """Read and check the head of a streamed response."""
        head = self.head()
        assert head == Head(
            RESPONSE,
            [
                ("Host", self.address),
                ("Accept-Encoding", "identity"),
                ("User-Agent", f"hearth/{__version__}"),
                ("Content-Type", "application/vnd.awslambda.http-integration-response"),
                ("Lambda-Runtime-Function-Response-Mode", "streaming"),
                ("Transfer-Encoding", "chunked"),
                ("Trailer", "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body"),
            ],
        )
        return head

    @contextmanager
    def runtime(
        self,
        code: Path,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str | Path] = (WRAPPER, python313(), "/var/runtime/bootstrap.py"),
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run our runtime as AWS's bootstrap starts it, with the function in `code`."""
        paths = [layer("core") / "python", ROOT / "layers/runtime/python"]
        variables = {
            "AWS_LAMBDA_RUNTIME_API": self.address,
            "AWS_LAMBDA_FUNCTION_NAME": "streaming",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "LAMBDA_TASK_ROOT": str(code),
            "_HANDLER": HANDLER,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(map(str, [code, *paths])),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HEARTH_STREAM": "rest,url",
            **guardian.mark(),
            **(environment or {}),
        }
        process = subprocess.Popen(
            [*map(str, command)],
            cwd=code,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert process.stdout
            process.stdout.close()
