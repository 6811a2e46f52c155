"""Traces: the W3C trace context of a request, and its spans for an OTLP endpoint.

Without OTEL_EXPORTER_OTLP_ENDPOINT a trace context is only read, logged and returned, and nothing is imported.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from hearth import settings
from hearth.errors import HearthError
from hearth.telemetry.timing import Timing

# Compiled at the first use, to keep it out of cold starts. Later versions of the header have more fields at the end.
TRACEPARENT = r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
XRAY = r"Root=1-([0-9a-f]{8})-([0-9a-f]{24})(?:;Parent=([0-9a-f]{16}))?(?:;Sampled=([01]))?"
SAMPLED = 1
"""Bit of the header's flags."""


class Trace(Struct, frozen=True):
    """The span of a request in its trace."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    parent_id: str = ""
    """The caller's span; empty: the trace begins here."""
    is_sampled: bool = True

    @property
    def header(self) -> str:
        """The value of `traceparent` for what this request calls, and of `traceresponse` for its caller."""
        return f"00-{self.trace_id}-{self.span_id}-{SAMPLED if self.is_sampled else 0:02x}"


def begin_trace(timing: Timing, headers: Mapping[str, str]) -> None:
    """Set the trace of a request if its caller has one, or if spans are exported; on Lambda, X-Ray's trace is
    continued."""
    exports = settings.get().otlp_endpoint
    if match := re.fullmatch(TRACEPARENT, headers.get("traceparent", "").strip()):
        trace = Trace(match[1], secrets.token_hex(8), match[2], bool(int(match[3], 16) & SAMPLED))
    elif not exports:
        return
    elif match := re.match(XRAY, os.environ.get("_X_AMZN_TRACE_ID", "")):
        trace = Trace(match[1] + match[2], secrets.token_hex(8), match[3] or "", match[4] != "0")
    else:
        trace = Trace(secrets.token_hex(16), secrets.token_hex(8))
    timing.trace = trace
    timing.fields["trace_id"], timing.fields["span_id"] = trace.trace_id, trace.span_id
    if exports and trace.is_sampled:
        timing.spans = []


def end_trace(
    timing: Timing, ms: float, *, request_id: str, status: int, trigger: str, failure: HearthError | None
) -> None:
    """Export the spans of a finished request that took `ms`."""
    if timing.spans is None:
        return
    from hearth.telemetry import otlp  # only where an endpoint is configured

    attributes: dict[str, Any] = {
        "hearth.request_id": request_id,
        "hearth.trigger": trigger,
        **{f"hearth.{name}": value for name, value in timing.fields.items() if name not in ("trace_id", "span_id")},
    }
    if trigger == "http":
        attributes |= {"http.request.method": timing.method, "http.route": timing.route}
        attributes["http.response.status_code"] = status
    if failure:
        attributes["error.type"] = failure.code
    otlp.exporter().export(timing, ms, {name: value for name, value in attributes.items() if value != ""}, status)


def flush() -> None:
    """Wait until all spans are exported, for at most a few seconds."""
    if settings.get().otlp_endpoint:
        from hearth.telemetry import otlp

        otlp.exporter().flush()
