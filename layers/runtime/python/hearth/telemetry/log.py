"""One JSON line a request, and its figures as CloudWatch metrics (Embedded Metric Format). Never a payload."""

from __future__ import annotations

import functools
import logging
import os
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

from hearth.errors import ENDS, HearthError, Internal
from hearth.telemetry import audit, cost, json_format, statistics
from hearth.telemetry.timing import Trace, begin

for _name in ("PIL", "mangum"):
    # Their own lines tell metadata of pictures and paths of requests to whoever turns their level up.
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)

# A line that cannot be written is lost. Python would print it to standard error, with the exception in whose handling
# it was to be written, whose words may be a caller's.
logging.raiseExceptions = False
LONGEST = 500
"""Characters of a text in a line."""
OUTPUT = json_format.Output()
"""Where every line goes."""


@functools.cache
def logger() -> logging.Logger:
    made = logging.getLogger(json_format.SERVICE)
    made.setLevel(os.environ.get("HEARTH_LOG_LEVEL", "INFO").upper())
    made.propagate = "AWS_LAMBDA_RUNTIME_API" not in os.environ  # there, the root logger writes each line again
    made.handlers = [OUTPUT]
    return made


def plain(value: object) -> object:
    """A text as a line may have it: short, and what could forge or hide lines where they are read, escaped."""
    if not isinstance(value, str):
        return value
    text = value if len(value) <= LONGEST else value[:LONGEST] + "…"
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def unexpected(error: BaseException) -> None:
    """Where and what an exception that is not ours was. Not its message: that may quote what the caller sent."""
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    logger().error("unexpected", extra={"exception_name": type(error).__qualname__, "places": places})


def ours(error: BaseException) -> HearthError:
    """What is told of an exception: itself where it is ours; else only that there was one, and the log says where."""
    if isinstance(error, HearthError):
        return error
    unexpected(error)
    return Internal("An unexpected error; its cause is in the log")


def attempt(work: Callable[[], str], *, request_id: str, trigger: str, tenant: str = "") -> HearthError | None:
    """Do `work`, which says its outcome, as a request with a trace and a line of its own; why it failed, if it did."""
    timing = begin()
    failure: HearthError | None = None
    if tenant:
        timing.facts["tenant"] = tenant
    try:
        timing.facts["outcome"] = work()
    except ENDS:
        raise
    except BaseException as error:
        failure = ours(error)
    status = failure.status if failure else 200
    request(timing, request_id=request_id, status=status, trigger=trigger, failure=failure)
    return failure


def request(trace: Trace, *, request_id: str, status: int, trigger: str, failure: HearthError | None = None) -> None:
    """Write the line of one request, with the reason of a failure that is ours, and its audit record; on Lambda its
    estimated cost and its metrics too.

    Past Python's machinery for log records, which takes longer than all the rest of this.
    """
    total = round(trace.total, 3)
    dollars = cost.dollars(total)
    told, now = [], time.time()
    if logger().isEnabledFor(logging.INFO):
        more: dict[str, object] = {"request_id": plain(request_id), "status": status, "trigger": trigger}
        for name, value in trace.facts.items():
            more[name] = plain(value)
        steps = {name: round(value, 3) for name, value in trace.steps.items()}
        steps["total"] = total
        more["ms"] = steps
        if dollars is not None:
            more["dollars"] = dollars
        if failure:
            more["error"] = failure.code
            if status >= 500:
                more["reason"] = plain(failure.message)  # an operator's clue; what callers do wrong stays with them
        told.append(json_format.line("INFO", _PLACE, "request", now, more))
    if function := _function():  # what its alarms look at
        facts = trace.facts
        figures = {"Requests": 1, "Duration": total, "ColdStart": bool(facts.get("cold")), "Errors": status >= 500}
        dimensions = {"model": str(plain(facts.get("model", "none"))), "function": function}
        told.append(json_format.metrics(dimensions, figures, now))
    if told:
        with suppress(OSError, ValueError):
            OUTPUT.write(*told)
    try:
        audit.record(
            trace,
            request_id=request_id,
            status=status,
            trigger=trigger,
            failure=failure,
            ms=total,
            dollars=dollars,
        )
    except OSError as error:  # the chain has a gap then, which its check names
        logger().error("audit record lost", extra={"reason": error.strerror})
    statistics.count(trace, failed=failure is not None)


_PLACE = f"request:{request.__code__.co_firstlineno}"


@functools.cache
def _function() -> str:
    """The name of this process's function; empty where it is none."""
    return os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "")
