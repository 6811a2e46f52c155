"""An HTTP server that turns each request into the event of an AWS front door, and the handler's response back into
HTTP.

With it, a client that speaks HTTP tests what Lambda would run. Whether a body is bytes or text follows the rule of each
front door: API Gateway goes by its binary media types (the template has `*~1*`: all), function URLs and load balancers
by the content type.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

from tests.events import event
from tests.support.servers import running

FORMS = ("rest-v1", "http-v2", "function-url", "alb")
TEXTS = ("text/", "application/json", "application/javascript", "application/xml")


def to_event(form: str, method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> dict[str, Any]:
    """The event that the front door `form` sends for an HTTP request."""
    url = urlsplit(target)
    lower_headers = {name.lower(): value for name, value in headers}
    content_type = lower_headers.get("content-type", "")
    is_binary = form == "rest-v1" or not content_type.startswith(TEXTS) or "content-encoding" in lower_headers
    text = base64.b64encode(body).decode() if is_binary else body.decode("utf-8")
    aws_event = event(
        form, path=unquote(url.path), method=method, content_type=content_type, body=text, is_base64=is_binary
    )
    aws_event["headers"] = lower_headers
    query = parse_qs(url.query, keep_blank_values=True)
    if "rawPath" in aws_event:
        aws_event["rawPath"], aws_event["rawQueryString"] = url.path, url.query
    else:
        aws_event["queryStringParameters"] = {name: values[-1] for name, values in query.items()} or None
    if "multiValueHeaders" in aws_event:
        aws_event["multiValueHeaders"] = {name: [value] for name, value in lower_headers.items()}
        aws_event["multiValueQueryStringParameters"] = query or None
    return aws_event


@contextmanager
def serve_handler(form: str, handler: Callable[[Any, Any], Any]) -> Iterator[str]:
    """Yield the address of a server in front of `handler`, which runs on one thread as in Lambda."""
    loop = asyncio.new_event_loop()
    executor = ThreadPoolExecutor(1, initializer=asyncio.set_event_loop, initargs=(loop,))

    class FrontDoor(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # buffered, to send a response in one write: two would wait for the delayed acknowledgement

        def relay(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            aws_event = to_event(form, self.command, self.path, list(self.headers.items()), body)
            response = executor.submit(handler, aws_event, SimpleNamespace(aws_request_id=uuid4().hex)).result()
            content = response.get("body") or ""
            data = base64.b64decode(content) if response.get("isBase64Encoded") else content.encode()
            self.send_response(response["statusCode"])
            values = {name: [value] for name, value in (response.get("headers") or {}).items()}
            values |= response.get("multiValueHeaders") or {}
            for name, header_values in values.items():
                for value in header_values:
                    if name.lower() != "content-length":
                        self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)
            self.wfile.flush()

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self.relay
            raise AttributeError(name)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), FrontDoor)
    try:
        with running(server) as address:
            yield address
    finally:
        executor.shutdown()
        loop.close()
