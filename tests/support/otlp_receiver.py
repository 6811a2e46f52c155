"""An OTLP/HTTP receiver on loopback that parses messages with OpenTelemetry's own protocol buffers."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class Receiver:
    """A context manager; `spans` are opentelemetry.proto.trace.v1.Span, in the order of their arrival."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.headers: dict[str, str] = {}
        self.resource: dict[str, Any] = {}

    def __enter__(self) -> Receiver:
        service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
        from google.protobuf import json_format

        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                # Ids are hexadecimal in OTLP's JSON, where the JSON of protocol buffers has base64.
                for resource in body["resourceSpans"]:
                    for scope in resource["scopeSpans"]:
                        for span in scope["spans"]:
                            for name in ("traceId", "spanId", "parentSpanId"):
                                span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
                message = json_format.ParseDict(body, service.ExportTraceServiceRequest())
                for resource in message.resource_spans:
                    receiver.resource = {item.key: _value(item.value) for item in resource.resource.attributes}
                    for scope in resource.scope_spans:
                        receiver.spans += scope.spans
                receiver.headers = {name.lower(): value for name, value in self.headers.items()}
                self.send_response(200)
                self.send_header("content-length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def attributes(span: Any) -> dict[str, Any]:
    return {item.key: _value(item.value) for item in span.attributes}


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))
