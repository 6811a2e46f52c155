"""The format of log lines: JSON with the field names of AWS Powertools."""

from __future__ import annotations

import functools
import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

import msgspec

SERVICE = "hearth"
METRICS = {"Requests": "Count", "Duration": "Milliseconds", "ColdStart": "Count", "Errors": "Count"}
"""The unit of each metric of a request."""
RARE_METRICS = {"Drift": "None", "FeedbackAccuracy": "None"}
"""The unit of each metric that has a line of its own."""
# Each combination of dimensions is paid for as four metrics, so models are no dimension; each line names its model.
_DECLARED_METRICS = {
    "Namespace": "Hearth",
    "Dimensions": [["function"]],
    "Metrics": [{"Name": name, "Unit": unit} for name, unit in METRICS.items()],
}
_RECORD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
"""Attributes of every Python log record."""
_encode = msgspec.json.Encoder(enc_hook=str).encode
_DECLARED = msgspec.Raw(_encode(_DECLARED_METRICS))


def line(level: str, location: str, message: str, timestamp: float, extra: Mapping[str, Any]) -> str:
    """A log line: level, location, message, `timestamp` (seconds since 1970), service, and the fields in `extra`."""
    minute, zone = _minute(int(timestamp // 60))
    fields = {
        "level": level,
        "location": location,
        "message": message,
        "timestamp": f"{minute}{int(timestamp % 60):02d},{int(timestamp % 1 * 1000):03d}{zone}",
        "service": SERVICE,
        **extra,
    }
    if trace_id := os.environ.get("_X_AMZN_TRACE_ID"):
        fields["xray_trace_id"] = trace_id.partition(";")[0].removeprefix("Root=")
    return _encode(fields).decode()


@functools.lru_cache(maxsize=1)
def _minute(minutes: int) -> tuple[str, str]:
    """The parts of a timestamp before and after the seconds; `minutes` are counted since 1970."""
    local = time.localtime(minutes * 60)
    return time.strftime("%Y-%m-%d %H:%M:", local), time.strftime("%z", local)


def metrics(fields: Mapping[str, str], values: Mapping[str, float], timestamp: float) -> str:
    """A line in CloudWatch's Embedded Metric Format: `values` by names in METRICS, `timestamp` in seconds since 1970.

    `fields` has the dimensions `model` and `function`; other fields can be searched but are not dimensions.
    """
    declared = {"Timestamp": int(timestamp * 1000), "CloudWatchMetrics": [_DECLARED]}
    samples = {name: [float(value)] for name, value in values.items()}
    return _encode({"_aws": declared, "service": SERVICE, **fields, **samples}).decode()


def rare_metric(fields: Mapping[str, str], name: str, value: float, timestamp: float) -> str:
    """As `metrics`, with one metric of RARE_METRICS."""
    metric = {"Name": name, "Unit": RARE_METRICS[name]}
    declared = {**_DECLARED_METRICS, "Metrics": [metric]}
    header = {"Timestamp": int(timestamp * 1000), "CloudWatchMetrics": [declared]}
    return _encode({"_aws": header, "service": SERVICE, **fields, name: [float(value)]}).decode()


class JsonFormatter(logging.Formatter):
    """Format records like `line`. Exceptions are omitted, because their messages may quote a caller's input."""

    def format(self, record: logging.LogRecord) -> str:
        location = f"{record.funcName}:{record.lineno}"
        extra = {
            name: value for name, value in record.__dict__.items() if name not in _RECORD_FIELDS and value is not None
        }
        return line(record.levelname, location, record.getMessage(), record.created, extra)


class LineHandler(logging.Handler):
    """Write lines to `stream`, or to the current standard output if it is None."""

    def __init__(self) -> None:
        super().__init__()
        self.stream: TextIO | None = None
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.write(self.format(record))
        except Exception:
            self.handleError(record)

    def write(self, *lines: str) -> None:
        """Write lines in one call. Raises OSError, ValueError."""
        stream = self.stream or sys.stdout
        stream.write("\n".join((*lines, "")))
        stream.flush()
