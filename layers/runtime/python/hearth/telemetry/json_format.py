"""How lines of the log are written: one JSON document each, as AWS's Powertools write them."""

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
_METRICS = {
    "Namespace": "Hearth",
    "Dimensions": [["model", "service"], ["function"]],
    "Metrics": [{"Name": name, "Unit": unit} for name, unit in METRICS.items()],
}
_ALWAYS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
"""What every record of Python has."""
_encode = msgspec.json.Encoder(enc_hook=str).encode
_DECLARED = msgspec.Raw(_encode(_METRICS))


def line(level: str, place: str, words: str, when: float, more: Mapping[str, Any]) -> str:
    """Level, place, words, time (seconds since 1970) and service, then `more`."""
    minute, zone = _minute(int(when // 60))
    told = {
        "level": level,
        "location": place,
        "message": words,
        "timestamp": f"{minute}{int(when % 60):02d},{int(when % 1 * 1000):03d}{zone}",
        "service": SERVICE,
        **more,
    }
    if traced := os.environ.get("_X_AMZN_TRACE_ID"):
        told["xray_trace_id"] = traced.partition(";")[0].removeprefix("Root=")
    return _encode(told).decode()


@functools.lru_cache(maxsize=1)
def _minute(since: int) -> tuple[str, str]:
    """What is written before and after the seconds, of a minute since 1970."""
    there = time.localtime(since * 60)
    return time.strftime("%Y-%m-%d %H:%M:", there), time.strftime("%z", there)


def metrics(dimensions: Mapping[str, str], values: Mapping[str, float], when: float) -> str:
    """A line in the Embedded Metric Format; `values` of METRICS, `dimensions`: model and function; seconds since
    1970."""
    declared = {"Timestamp": int(when * 1000), "CloudWatchMetrics": [_DECLARED]}
    figures = {name: [float(value)] for name, value in values.items()}
    return _encode({"_aws": declared, "service": SERVICE, **dimensions, **figures}).decode()


class Lines(logging.Formatter):
    """As `line`, with what a record has besides. No exception of a record is told: its words may be a caller's."""

    def format(self, record: logging.LogRecord) -> str:
        place = f"{record.funcName}:{record.lineno}"
        own = {name: of for name, of in record.__dict__.items() if name not in _ALWAYS and of is not None}
        return line(record.levelname, place, record.getMessage(), record.created, own)


class Output(logging.Handler):
    """Writes lines to a stream; without one, to the standard output of the moment."""

    def __init__(self) -> None:
        super().__init__()
        self.stream: TextIO | None = None
        self.setFormatter(Lines())

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.write(self.format(record))
        except Exception:
            self.handleError(record)

    def write(self, *told: str) -> None:
        """Lines at once. Raises OSError, ValueError."""
        stream = self.stream or sys.stdout
        stream.write("\n".join((*told, "")))
        stream.flush()
