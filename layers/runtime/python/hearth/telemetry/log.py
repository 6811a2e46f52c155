"""The end of a request: its log line, metrics, audit record and statistics, without any payload."""

from __future__ import annotations

import functools
import logging
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Literal

from hearth import settings
from hearth.errors import ENDS, HearthError, Internal, Unavailable
from hearth.telemetry import audit, cost, json_format, statistics
from hearth.telemetry.timing import Timing, begin

for _name in ("PIL", "mangum"):
    # With a lower level their log lines would show metadata of pictures and paths of requests.
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)

# A line that cannot be written is lost. Otherwise Python would print it to standard error with the exception that was
# being handled, whose message may quote a caller's input.
logging.raiseExceptions = False
MAX_CHARACTERS = 500
"""Largest length of a text in a log line."""
HANDLER = json_format.LineHandler()
"""The handler of all log lines."""
Trigger = Literal["http", "storage", "batch"]


@functools.cache
def logger() -> logging.Logger:
    instance = logging.getLogger(json_format.SERVICE)
    instance.setLevel(os.environ.get("HEARTH_LOG_LEVEL", "INFO").upper())
    instance.propagate = (
        "AWS_LAMBDA_RUNTIME_API" not in os.environ
    )  # on Lambda the root logger would write each line again
    instance.handlers = [HANDLER]
    return instance


def sanitize(value: object) -> object:
    """A value for a log line: texts are truncated, and characters that could forge or hide lines are escaped."""
    if not isinstance(value, str):
        return value
    text = value if len(value) <= MAX_CHARACTERS else value[:MAX_CHARACTERS] + "…"
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def log_unexpected(error: BaseException) -> None:
    """Log the class and the traceback of an unexpected exception, but not its message, which may quote an input."""
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    logger().error("unexpected", extra={"exception_name": type(error).__qualname__, "places": places})


def as_hearth_error(error: BaseException) -> HearthError:
    """The error for the caller: a HearthError as it is, and any other exception as an internal error without
    details."""
    if isinstance(error, HearthError):
        return error
    log_unexpected(error)
    return Internal("An unexpected error occurred; its cause is in the log")


def start_trace(timing: Timing, headers: Mapping[str, str]) -> None:
    """Set the trace of a request, if its caller has one or spans are exported. Otherwise nothing is imported."""
    if "traceparent" in headers or settings.get().otlp_endpoint:
        from hearth.telemetry.tracing import begin_trace

        begin_trace(timing, headers)


def attempt(work: Callable[[], str], *, request_id: str, trigger: Trigger, tenant: str = "") -> HearthError | None:
    """Run `work`, which returns its outcome, as a request with its own timing and log line; return its error, if
    any."""
    timing = begin()
    timing.is_private = False
    start_trace(timing, {})
    failure: HearthError | None = None
    if tenant:
        timing.fields["tenant"] = tenant
    try:
        timing.fields["outcome"] = work()
    except ENDS:
        raise
    except BaseException as error:
        failure = as_hearth_error(error)
    try:
        status = failure.status if failure else 200
        finish_request(timing, request_id=request_id, status=status, trigger=trigger, failure=failure)
    except Unavailable as error:  # there is no audit record of it
        failure = error
        finish_request(timing, request_id=request_id, status=failure.status, trigger=trigger, failure=failure)
    return failure


def start_stream(timing: Timing, *, request_id: str) -> None:
    """Write the audit record of a streamed response before its first piece is sent. Raises Unavailable, as
    `finish_request`."""
    with _audit_failures(can_refuse=True):
        ms = round(timing.total, 3)
        audit.record(timing, ms, None, request_id=request_id, status=200, trigger="http", failure=None, phase="start")


def finish_request(
    timing: Timing,
    *,
    request_id: str,
    status: int,
    trigger: Trigger,
    failure: HearthError | None = None,
    is_sent: bool = False,
) -> None:
    """Write the audit record, the log line and the metrics of a finished request, and update the statistics.

    Raises Unavailable, and writes only a line about it, if the audit record of a success cannot be written and the
    response is not sent yet, unless HEARTH_AUDIT_FAILURE says to continue.
    """
    ms = round(timing.total, 3)
    dollars = cost.dollars(ms)
    with _audit_failures(can_refuse=failure is None and not is_sent):
        audit.record(timing, ms, dollars, request_id=request_id, status=status, trigger=trigger, failure=failure)
    _write_lines(timing, ms, dollars, request_id=request_id, status=status, trigger=trigger, failure=failure)
    statistics.count(timing, failed=failure is not None)
    if failure is None and timing.observed is not None:
        from hearth.telemetry import sketches  # few models may be watched

        sketches.add(timing)
    if timing.spans is not None:
        from hearth.telemetry import tracing

        tracing.end_trace(timing, ms, request_id=request_id, status=status, trigger=trigger, failure=failure)


@contextmanager
def _audit_failures(*, can_refuse: bool) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # the chain then has a gap, which `hearth audit` reports
        logger().error("audit record lost", extra={"reason": error.strerror})
        if can_refuse and settings.get().refuse_unaudited:
            raise Unavailable("The audit log cannot be written, so nothing is answered; retry later") from None


def _write_lines(
    timing: Timing,
    ms: float,
    dollars: float | None,
    *,
    request_id: str,
    status: int,
    trigger: Trigger,
    failure: HearthError | None,
) -> None:
    """Write the log line, with the reason of server errors, and on Lambda the metrics.

    It bypasses Python's logging, which takes longer than the rest of this function
    (`python -m tests.kept_fast counts`).
    """
    lines, now = [], time.time()
    if logger().isEnabledFor(logging.INFO):
        extra: dict[str, object] = {"request_id": sanitize(request_id), "status": status, "trigger": trigger}
        for name, value in timing.fields.items():
            extra[name] = sanitize(value)
        steps = {name: round(value, 3) for name, value in timing.steps.items()}
        steps["total"] = ms
        extra["ms"] = steps
        if dollars is not None:
            extra["dollars"] = dollars
        if failure:
            extra["error"] = failure.code
            if status >= 500:
                extra["reason"] = sanitize(failure.message)  # for the operator; errors of callers are not logged
        lines.append(json_format.line("INFO", "finish_request", "request", now, extra))
    if function := _function():
        values = {
            "Requests": 1,
            "Duration": ms,
            "ColdStart": bool(timing.fields.get("cold")),
            "Errors": status >= 500,  # the metric of the alarms
        }
        lines.append(json_format.metrics(_metric_fields(timing.fields, function), values, now))
    if lines:
        with suppress(OSError, ValueError):
            HANDLER.write(*lines)


def write_measurement(message: str, model: str, version: str, fields: Mapping[str, object], **metrics: float) -> None:
    """Write a line about a version, and on Lambda each metric of json_format.RARE_METRICS."""
    logger().info(message, extra={"model": model, "version": version, **fields})
    if function := _function():
        names = {"model": model, "version": version, "function": function}
        with suppress(OSError, ValueError):
            HANDLER.write(
                *(json_format.rare_metric(names, name, value, time.time()) for name, value in metrics.items())
            )


def _metric_fields(fields: Mapping[str, object], function: str) -> dict[str, str]:
    metric_fields = {"model": str(sanitize(fields.get("model", "none"))), "function": function}
    if "version" in fields:
        metric_fields["version"] = str(sanitize(fields["version"]))
    return metric_fields


@functools.cache
def _function() -> str:
    """The name of this function; empty outside of Lambda."""
    return os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "")
