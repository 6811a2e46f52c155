"""The end of a request: its log line, its metrics, its audit record, its statistics. Never a payload."""

from __future__ import annotations

import functools
import logging
import os
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Literal

from hearth.errors import ENDS, HearthError, Internal
from hearth.telemetry import audit, cost, json_format, statistics
from hearth.telemetry.timing import Timing, begin

for _name in ("PIL", "mangum"):
    # Their own lines show metadata of pictures and paths of requests to whoever turns their level up.
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)

# A line that cannot be written is lost. Python would print it to standard error, together with the exception that was
# being handled, whose message may quote a caller's input.
logging.raiseExceptions = False
MAX_CHARACTERS = 500
"""Of a text in a line."""
HANDLER = json_format.LineHandler()
"""Where every line goes."""
Trigger = Literal["http", "storage", "batch"]


@functools.cache
def logger() -> logging.Logger:
    made = logging.getLogger(json_format.SERVICE)
    made.setLevel(os.environ.get("HEARTH_LOG_LEVEL", "INFO").upper())
    made.propagate = "AWS_LAMBDA_RUNTIME_API" not in os.environ  # there, the root logger writes each line again
    made.handlers = [HANDLER]
    return made


def plain(value: object) -> object:
    """A value as a line may have it: texts are short, and characters that could forge or hide lines are escaped."""
    if not isinstance(value, str):
        return value
    text = value if len(value) <= MAX_CHARACTERS else value[:MAX_CHARACTERS] + "…"
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def log_unexpected(error: BaseException) -> None:
    """Log the class and the places of an exception that is not ours. Not its message: it may quote a caller's input."""
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    logger().error("unexpected", extra={"exception_name": type(error).__qualname__, "places": places})


def as_hearth_error(error: BaseException) -> HearthError:
    """The error that a caller is told: an error of ours as it is; for any other only that there was one."""
    if isinstance(error, HearthError):
        return error
    log_unexpected(error)
    return Internal("An unexpected error; its cause is in the log")


def attempt(work: Callable[[], str], *, request_id: str, trigger: Trigger, tenant: str = "") -> HearthError | None:
    """Do `work`, which returns its outcome, as a request with a timing and a log line of its own; return its error."""
    timing = begin()
    failure: HearthError | None = None
    if tenant:
        timing.fields["tenant"] = tenant
    try:
        timing.fields["outcome"] = work()
    except ENDS:
        raise
    except BaseException as error:
        failure = as_hearth_error(error)
    status = failure.status if failure else 200
    finish_request(timing, request_id=request_id, status=status, trigger=trigger, failure=failure)
    return failure


def finish_request(
    timing: Timing, *, request_id: str, status: int, trigger: Trigger, failure: HearthError | None = None
) -> None:
    """Write the log line and the metrics of a request that ended, its audit record, and count it."""
    ms = round(timing.total, 3)
    dollars = cost.dollars(ms)
    _write_lines(timing, ms, dollars, request_id=request_id, status=status, trigger=trigger, failure=failure)
    try:
        audit.record(timing, ms, dollars, request_id=request_id, status=status, trigger=trigger, failure=failure)
    except OSError as error:  # the chain has a gap then, which its check names
        logger().error("audit record lost", extra={"reason": error.strerror})
    statistics.count(timing, failed=failure is not None)


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
    """Write the log line, with the reason of a failure that is ours, and on Lambda the metrics.

    Past Python's machinery for log records, which takes longer than all the rest of this
    (`python -m tests.kept_fast counts`).
    """
    lines, now = [], time.time()
    if logger().isEnabledFor(logging.INFO):
        extra: dict[str, object] = {"request_id": plain(request_id), "status": status, "trigger": trigger}
        for name, value in timing.fields.items():
            extra[name] = plain(value)
        steps = {name: round(value, 3) for name, value in timing.steps.items()}
        steps["total"] = ms
        extra["ms"] = steps
        if dollars is not None:
            extra["dollars"] = dollars
        if failure:
            extra["error"] = failure.code
            if status >= 500:
                extra["reason"] = plain(failure.message)  # an operator's clue; what callers do wrong stays with them
        lines.append(json_format.line("INFO", "finish_request", "request", now, extra))
    if function := _function():
        figures = {
            "Requests": 1,
            "Duration": ms,
            "ColdStart": bool(timing.fields.get("cold")),
            "Errors": status >= 500,  # what alarms look at
        }
        lines.append(json_format.metrics(_metric_fields(timing.fields, function), figures, now))
    if lines:
        with suppress(OSError, ValueError):
            HANDLER.write(*lines)


def _metric_fields(fields: Mapping[str, object], function: str) -> dict[str, str]:
    named = {"model": str(plain(fields.get("model", "none"))), "function": function}
    if "version" in fields:
        named["version"] = str(plain(fields["version"]))
    return named


@functools.cache
def _function() -> str:
    """The name of this process's function; empty where it is none."""
    return os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "")
