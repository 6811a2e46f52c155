"""Sends spans to an OTLP/HTTP endpoint as JSON (opentelemetry-proto 1.x), with the semantic conventions of HTTP and
generative AI.

A server sends them from a thread, in batches; a queue that is full drops spans rather than keep requests waiting. A
Lambda sends them at the end of each request, because its threads stop between requests; after a message that failed,
the next requests do not wait for one.
"""

from __future__ import annotations

import functools
import http.client
import os
import queue
import secrets
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import msgspec

from hearth import __version__, settings
from hearth.telemetry.log import logger
from hearth.telemetry.timing import Timing

QUEUE = 2048
"""Requests whose spans wait at most."""
BATCH = 256
"""Requests per message at most."""
SECONDS = 1.0
"""How long a batch is collected."""
TIMEOUT = 3.0
"""Seconds until a message is given up."""
LAMBDA_TIMEOUT = 0.5
PAUSE = 10.0
"""Seconds after a message that failed in which requests of a Lambda drop their spans."""
INTERNAL, SERVER = 1, 2
"""Kinds of spans."""
ERROR = 2
"""Status code of a failed span."""
OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
}
"""Route -> `gen_ai.operation.name`; other routes that generate are `text_completion`."""


class Exporter:
    def __init__(self, endpoint: str, headers: dict[str, str], resource: dict[str, str], *, waits: bool) -> None:
        """`waits`: spans are sent before `export` returns."""
        self._url = urlsplit(endpoint)
        self._headers = {"content-type": "application/json", **headers}
        self._resource = _attributes(resource)
        self._waits = waits
        self._queue: queue.Queue[list[dict[str, Any]]] = queue.Queue(QUEUE)
        self._reported = self._resumes = 0.0
        self.dropped = 0
        if not waits:
            threading.Thread(target=self._run, name="otlp", daemon=True).start()

    def export(self, timing: Timing, ms: float, attributes: dict[str, Any], status: int) -> None:
        if self._waits and time.monotonic() < self._resumes:
            self.dropped += 1
            return
        spans = spans_of(timing, ms, attributes, status)
        if self._waits:
            self._send(spans, LAMBDA_TIMEOUT)
            return
        try:
            self._queue.put_nowait(spans)
        except queue.Full:
            self.dropped += 1

    def flush(self, seconds: float = TIMEOUT) -> None:
        """Wait until the queue is empty and sent, for at most so many seconds."""
        end = time.monotonic() + seconds
        while self._queue.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.02)

    def _run(self) -> None:
        while True:
            groups = [self._queue.get()]
            end = time.monotonic() + SECONDS
            while len(groups) < BATCH and (left := end - time.monotonic()) > 0:
                try:
                    groups.append(self._queue.get(timeout=left))
                except queue.Empty:
                    break
            self._send([span for group in groups for span in group], TIMEOUT)
            for _ in groups:
                self._queue.task_done()

    def _send(self, spans: list[dict[str, Any]], timeout: float) -> None:
        """Send a message. One that fails is lost, and reported in the log once a minute."""
        scope = {"name": "hearth", "version": __version__}
        resource = {"resource": {"attributes": self._resource}, "scopeSpans": [{"scope": scope, "spans": spans}]}
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        try:
            connection = kind(self._url.netloc, timeout=timeout)
            try:
                body = msgspec.json.encode({"resourceSpans": [resource]})
                connection.request("POST", self._url.path or "/", body, self._headers)
                status = connection.getresponse().status
            finally:
                connection.close()
            reason = f"status {status}" if status >= 300 else ""
        except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: of a header's value
            reason = type(error).__name__
        if reason:
            self._resumes = time.monotonic() + PAUSE
        if reason and time.monotonic() - self._reported > 60:
            self._reported = time.monotonic()
            logger().error("spans not exported", extra={"reason": reason})


def spans_of(timing: Timing, ms: float, attributes: dict[str, Any], status: int) -> list[dict[str, Any]]:
    """The spans of a request: one of the request, one of each step in it and, for a generation, one of that."""
    trace, started = timing.trace, timing.started
    # perf_counter has no epoch; both clocks are read at once.
    epoch = time.time_ns() - time.perf_counter_ns()

    def nanoseconds(seconds: float) -> str:
        return str(epoch + int(seconds * 1e9))

    def span(name: str, start: float, end: float, parent: str, span_id: str = "") -> dict[str, Any]:
        return {
            "traceId": trace.trace_id,
            "spanId": span_id or secrets.token_hex(8),
            "parentSpanId": parent,
            "name": name,
            "kind": INTERNAL,
            "startTimeUnixNano": nanoseconds(start),
            "endTimeUnixNano": nanoseconds(end),
        }

    name = f"{timing.method} {timing.route}".strip() or str(attributes.get("hearth.trigger", "request"))
    server = span(name, started, started + ms / 1000, trace.parent_id, trace.span_id)
    server |= {"kind": SERVER, "attributes": _attributes(attributes)}
    if status >= 500:
        server["status"] = {"code": ERROR}
    parent, spans = trace.span_id, [server]
    if timing.fields.get("output_tokens") or timing.route == "/v1/embeddings":
        generation = _generation(timing)
        start = min((begin for step, begin, _ in timing.spans or () if step in ("encode", "run")), default=started)
        inner = span(
            f"{generation['gen_ai.operation.name']} {generation['gen_ai.request.model']}",
            start,
            started + ms / 1000,
            parent,
        )
        spans.append({**inner, "attributes": _attributes(generation)})
    spans += [span(step, begin, end, parent) for step, begin, end in timing.spans or ()]
    return spans


def _generation(timing: Timing) -> dict[str, Any]:
    """Attributes of the semantic conventions for generative AI."""
    fields = timing.fields
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": OPERATIONS.get(timing.route, "text_completion"),
        "gen_ai.provider.name": "hearth",
        "gen_ai.request.model": fields.get("model", ""),
        "gen_ai.response.model": f"{fields.get('model', '')}@{fields.get('version', '')}",
        "gen_ai.response.id": timing.request_id,
        "gen_ai.usage.input_tokens": fields.get("input_tokens", 0),
    }
    if "output_tokens" in fields:
        attributes["gen_ai.usage.output_tokens"] = fields["output_tokens"]
    if "seed" in fields:
        attributes["gen_ai.request.seed"] = fields["seed"]
    if "finish_reason" in fields:
        attributes["gen_ai.response.finish_reasons"] = [fields["finish_reason"]]
    if "first" in timing.steps:
        attributes["gen_ai.server.time_to_first_token"] = timing.steps["first"] / 1000
    return attributes


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in values.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    return {"stringValue": str(value)}


@functools.cache
def exporter() -> Exporter:
    """The exporter of this process."""
    config = settings.get()
    return Exporter(
        config.otlp_endpoint,
        config.otlp_headers,
        config.otlp_resource,
        waits="AWS_LAMBDA_FUNCTION_NAME" in os.environ,
    )
