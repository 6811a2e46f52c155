"""An HTTP server that turns each request into the event of an AWS front door, and a handler's answer back into HTTP.

So a client that speaks HTTP tests what Lambda would run. What is bytes and what is text follows each front door's own
rule: API Gateway by its binary media types (the template has `*~1*`: all), function URLs and load balancers by the
content type.
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


def wrapped(form: str, method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> dict[str, Any]:
    """The event."""
    url = urlsplit(target)
    lower = {name.lower(): value for name, value in headers}
    kind = lower.get("content-type", "")
    binary = form == "rest-v1" or not kind.startswith(TEXTS) or "content-encoding" in lower
    text = base64.b64encode(body).decode() if binary else body.decode("utf-8")
    made = event(form, path=unquote(url.path), method=method, content_type=kind, body=text, is_base64=binary)
    made["headers"] = lower
    query = parse_qs(url.query, keep_blank_values=True)
    if "rawPath" in made:
        made["rawPath"], made["rawQueryString"] = url.path, url.query
    else:
        made["queryStringParameters"] = {name: values[-1] for name, values in query.items()} or None
    if "multiValueHeaders" in made:
        made["multiValueHeaders"] = {name: [value] for name, value in lower.items()}
        made["multiValueQueryStringParameters"] = query or None
    return made


@contextmanager
def bridged(form: str, handler: Callable[[Any, Any], Any]) -> Iterator[str]:
    """The address of a server in front of `handler`, which answers on one thread, as a Lambda does."""
    loop = asyncio.new_event_loop()
    one = ThreadPoolExecutor(1, initializer=asyncio.set_event_loop, initargs=(loop,))

    class Front(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer in one piece: two would wait for each other's acknowledgement

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            made = wrapped(form, self.command, self.path, list(self.headers.items()), body)
            answer = one.submit(handler, made, SimpleNamespace(aws_request_id=uuid4().hex)).result()
            content = answer.get("body") or ""
            data = base64.b64decode(content) if answer.get("isBase64Encoded") else content.encode()
            self.send_response(answer["statusCode"])
            values = {name: [value] for name, value in (answer.get("headers") or {}).items()}
            values |= answer.get("multiValueHeaders") or {}
            for name, several in values.items():
                for value in several:
                    if name.lower() != "content-length":
                        self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)
            self.wfile.flush()

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self.answer
            raise AttributeError(name)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Front)
    try:
        with running(server) as address:
            yield address
    finally:
        one.shutdown()
        loop.close()
