"""A client of Lambda's Runtime API: gets invocations and sends whole or streamed responses.

It keeps one connection to the server in the same sandbox alive; a streamed response ends its connection.
"""

from __future__ import annotations

import base64
import json
import os
import select
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hearth import __version__
from hearth.aws.http1 import Connection

T = TypeVar("T")
VERSION = "/2018-06-01/runtime"
AGENT = {"User-Agent": f"hearth/{__version__}"}
ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"
ERROR_BODY = "Lambda-Runtime-Function-Error-Body"
HTTP_INTEGRATION = "application/vnd.awslambda.http-integration-response"


class RuntimeApiError(Exception):
    """The Runtime API failed. The process must end, and Lambda restarts the function."""


class ClientDisconnected(ConnectionError):
    """The rest of the response cannot be sent."""


@dataclass(frozen=True)
class Context:
    """The context of an invocation, with the names of AWS's runtime client."""

    aws_request_id: str
    invoked_function_arn: str = ""
    deadline_ms: int = 0
    """Milliseconds since 1970."""
    tenant_id: str | None = None
    client_context: Any = None
    """As the caller sent it."""
    identity: Any = None
    function_name: str = field(default_factory=lambda: os.environ.get("AWS_LAMBDA_FUNCTION_NAME", ""))
    function_version: str = field(default_factory=lambda: os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", ""))
    memory_limit_in_mb: str = field(default_factory=lambda: os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", ""))
    log_group_name: str = field(default_factory=lambda: os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME", ""))
    log_stream_name: str = field(default_factory=lambda: os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", ""))

    def get_remaining_time_in_millis(self) -> int:
        return max(self.deadline_ms - int(time.time() * 1000), 0)


@dataclass(frozen=True)
class Invocation:
    headers: Mapping[str, str]
    """By names in lower case."""
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["lambda-runtime-aws-request-id"]

    @property
    def trace_id(self) -> str:
        return self.headers.get("lambda-runtime-trace-id", "")

    @property
    def context(self) -> Context:
        """The context from the headers. Raises ValueError for an invalid header."""
        header = self.headers.get
        return Context(
            self.id,
            header("lambda-runtime-invoked-function-arn", ""),
            int(header("lambda-runtime-deadline-ms", "0")),
            header("lambda-runtime-aws-tenant-id"),
            json.loads(header("lambda-runtime-client-context") or "null"),
            json.loads(header("lambda-runtime-cognito-identity") or "null"),
        )

    @property
    def echo(self) -> dict[str, str]:
        """The header that a response must repeat, if the Runtime API sent it."""
        name = "lambda-runtime-invocation-id"
        return {name: self.headers[name]} if name in self.headers else {}


def describe_error(error: BaseException, kind: str = "", request_id: str = "") -> dict[str, Any]:
    """An exception in the format of Lambda's error responses."""
    return {
        "errorMessage": str(error),
        "errorType": kind or type(error).__name__,
        "requestId": request_id,
        "stackTrace": traceback.format_tb(error.__traceback__),
    }


class RuntimeApi:
    def __init__(self, address: str) -> None:
        self._connection = Connection(f"http://{address}")

    def next(self) -> Invocation:
        """Wait for the next invocation, possibly for hours. Raises RuntimeApiError."""
        try:
            status, headers, body = self._request("GET", "/invocation/next")
        except OSError:
            # The connection may have been closed while the sandbox was frozen.
            status, headers, body = self._request("GET", "/invocation/next")
        if status != 200:
            raise RuntimeApiError(f"GET /invocation/next returned {status}: {body[:200]!r}")
        return Invocation(headers, body)

    def wait_for_restore(self) -> None:
        """Tell Lambda that the snapshot can be taken; returns in each environment that is restored from it.

        Raises RuntimeApiError. The connection of the snapshot does not exist in a restored environment.
        """
        try:
            status, _, body = self._request("GET", "/restore/next")
        except OSError:
            status, body = 200, b""
        self._connection.close()
        if status != 200:
            raise RuntimeApiError(f"GET /restore/next returned {status}: {body[:200]!r}")

    def fail_restore(self, error: Mapping[str, Any]) -> None:
        self._post("/restore/error", _json(error), _error_headers(error))

    def respond(self, invocation: Invocation, body: bytes) -> None:
        """Send a whole response as JSON."""
        headers = {"Content-Type": "application/json", **invocation.echo}
        self._post(f"/invocation/{invocation.id}/response", body, headers)

    def fail(self, invocation: Invocation, error: Mapping[str, Any]) -> None:
        cause = {"working_directory": os.getcwd(), "paths": [], "exceptions": [_exception(error)]}
        headers = {"Lambda-Runtime-Function-XRay-Error-Cause": json.dumps(cause), **invocation.echo}
        self._post(f"/invocation/{invocation.id}/error", _json(error), headers | _error_headers(error))

    def fail_init(self, error: Mapping[str, Any]) -> None:
        self._post("/init/error", _json(error), _error_headers(error))

    def stream(self, invocation: Invocation) -> Stream:
        return Stream(self._connection, invocation)

    def _post(self, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        # If the Runtime API refuses a response, because it is too large for example, it also informs the caller.
        try:
            status, _, content = self._request("POST", path, body, headers)
        except OSError as error:
            status, content = 0, repr(error).encode()
        if status >= 500:
            raise RuntimeApiError(f"POST {path} returned {status}: {content[:200]!r}")
        if status != 202:
            print(
                json.dumps(
                    {"level": "ERROR", "message": f"{path}: {status}", "answer": content[:200].decode("latin-1")}
                )
            )

    def _request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        try:
            response = self._connection.request(method, VERSION + path, AGENT | dict(headers or {}), body)
            return response.status, response.headers, response.read()
        except OSError:
            self._connection.close()
            raise


class Stream:
    """A streamed response. `write` returns when the piece has been sent, so a slow reader slows down the writer."""

    def __init__(self, connection: Connection, invocation: Invocation) -> None:
        self._connection, self._invocation = connection, invocation
        self.began = self.ended = self.disconnected = False

    def write(self, piece: bytes) -> None:
        """Send a piece. Raises ClientDisconnected."""
        if piece:
            self._send(_chunk(piece))

    def end(self, piece: bytes = b"") -> None:
        """Send the last piece and end the response. Raises ClientDisconnected."""
        self._finish((_chunk(piece) if piece else b"") + b"0\r\n\r\n")

    def abort(self, error: Mapping[str, Any]) -> None:
        """End the response and report that it is incomplete. Raises ClientDisconnected."""
        encoded = base64.b64encode(_json(error)).decode()
        self._finish(f"0\r\n{ERROR_TYPE}: {error['errorType']}\r\n{ERROR_BODY}: {encoded}\r\n\r\n".encode())

    def _finish(self, data: bytes) -> None:
        self._send(data)
        self.ended = True
        status = self._checked(self._read_status)
        self._connection.close()  # as AWS requires of runtimes that stream
        if status != 202:
            self.disconnected = True
            raise ClientDisconnected(f"the Runtime API returned {status}")

    def _send(self, data: bytes) -> None:
        if self.ended:
            raise ClientDisconnected("the response has ended")
        if not self.began:
            self.began = True
            self._checked(self._begin)
        elif self._has_response():
            self.ended = self.disconnected = True
            status = self._checked(self._read_status)
            self._connection.close()  # the rest of the request would be read as a new request
            raise ClientDisconnected(f"the Runtime API returned {status} before the end")
        self._checked(lambda: self._connection.send(data))

    def _begin(self) -> None:
        headers = AGENT | self._invocation.echo
        headers |= {
            "Content-Type": HTTP_INTEGRATION,
            "Lambda-Runtime-Function-Response-Mode": "streaming",
            "Transfer-Encoding": "chunked",
            "Trailer": f"{ERROR_TYPE}, {ERROR_BODY}",
        }
        self._connection.begin("POST", f"{VERSION}/invocation/{self._invocation.id}/response", headers)

    def _has_response(self) -> bool:
        """Whether the Runtime API has responded or closed the connection before the end of the stream."""
        poll = select.poll()
        assert self._connection.socket is not None  # noqa: S101 -- a closed connection ends the stream
        poll.register(self._connection.socket, select.POLLIN)
        return bool(poll.poll(0))

    def _read_status(self) -> int:
        response = self._connection.response()
        response.read()
        return response.status

    def _checked(self, action: Callable[[], T]) -> T:
        """Call `action`. Raises ClientDisconnected for its OSError."""
        try:
            return action()
        except OSError as error:
            self.ended = self.disconnected = True
            self._connection.close()
            raise ClientDisconnected(f"the Runtime API has closed the connection: {error!r}") from None


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def _json(error: Mapping[str, Any]) -> bytes:
    return json.dumps(error).encode()


def _error_headers(error: Mapping[str, Any]) -> dict[str, str]:
    return {"Content-Type": "application/json", ERROR_TYPE: str(error["errorType"])}


def _exception(error: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": error["errorType"], "message": error["errorMessage"][:1000], "stack": []}
