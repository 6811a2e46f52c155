"""How lines of the log are written: one JSON document each, as AWS's Powertools write them."""

from __future__ import annotations

import logging
import os
import time
from typing import Any, TextIO

import msgspec

SERVICE = "hearth"
METRICS = {"Requests": "Count", "Duration": "Milliseconds", "ColdStart": "Count", "Errors": "Count"}
_DECLARED = {
    "Namespace": "Hearth",
    "Dimensions": [["model", "service"], ["function"]],
    "Metrics": [{"Name": name, "Unit": unit} for name, unit in METRICS.items()],
}
_ALWAYS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
"""What every record of Python has."""
_encode = msgspec.json.Encoder(enc_hook=str).encode


class Lines(logging.Formatter):
    """Level, place, words, time and service, then what the record has besides. No exception of a record is told: its
    words may be a caller's."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "level": record.levelname,
            "location": f"{record.funcName}:{record.lineno}",
            "message": record.getMessage(),
            "timestamp": _when(record),
            "service": SERVICE,
        }
        told |= {name: value for name, value in record.__dict__.items() if name not in _ALWAYS}
        if traced := os.environ.get("_X_AMZN_TRACE_ID"):
            told["xray_trace_id"] = traced.partition(";")[0].removeprefix("Root=")
        return _encode({name: value for name, value in told.items() if value is not None}).decode()


def _when(record: logging.LogRecord) -> str:
    there = time.localtime(record.created)
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', there)},{int(record.msecs):03d}{time.strftime('%z', there)}"


def metrics(dimensions: dict[str, str], values: dict[str, float]) -> str:
    """A line in the Embedded Metric Format; `values` of METRICS, `dimensions`: model and function."""
    declared = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [_DECLARED]}
    figures = {name: [float(value)] for name, value in values.items()}
    return _encode({"_aws": declared, "service": SERVICE, **dimensions, **figures}).decode()


class Output(logging.Handler):
    """Writes lines to a stream; without one, to the standard output of the moment."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self.stream = stream

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=self.stream, flush=True)
        except Exception:
            self.handleError(record)
