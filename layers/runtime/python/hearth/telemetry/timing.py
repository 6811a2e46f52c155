"""The times and log fields of one request. Any module may write them; only telemetry reads them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")


MAX_SPANS = 200
"""Spans of a request at most; a film has a step for each picture."""


class Timing:
    """Milliseconds per step of a request, and the fields of its log line."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}
        self.fields: dict[str, str | int | float | bool] = {}
        self.artifact: tuple[str | None, str | None] = (None, None)
        """SHA-256 of the model's manifest and the name of the key that signed it; only for audit records."""
        self.input_sha256 = ""
        """SHA-256 of the input in hexadecimal, if the audit log is enabled; not logged."""
        self.request_id = ""
        self.is_private = True
        """Whether inputs must not be captured: the client refuses it, or this is no client's request but a shadow."""
        self.observed: dict[tuple[str, int], int] | None = None
        """Number of inputs by feature and class (`hearth.telemetry.features`); None: the model is not watched."""
        self.trace: Any = None
        """The `hearth.telemetry.tracing.Trace` of the request; None: it has none."""
        self.spans: list[tuple[str, float, float]] | None = None
        """Name, start and end of each step, by `time.perf_counter`; None: spans are not exported."""
        self.method = self.route = ""
        """Of an HTTP request."""
        self.started = time.perf_counter()

    def record(self, name: str, started: float) -> None:
        """Add a step that began at `started`, by `time.perf_counter`, and ends now."""
        ended = time.perf_counter()
        self.steps[name] = self.steps.get(name, 0.0) + (ended - started) * 1000
        self.add_span(name, started, ended)

    def add_span(self, name: str, started: float, ended: float) -> None:
        if self.spans is not None and len(self.spans) < MAX_SPANS:
            self.spans.append((name, started, ended))

    @property
    def total(self) -> float:
        """Milliseconds since the request began."""
        return (time.perf_counter() - self.started) * 1000

    def record_usage(self, usage: Any) -> None:
        """Add a `hearth.tasks.task.Usage` to the fields of the log line."""
        self.fields["items"] = usage.items
        for name in ("input_tokens", "cached_tokens", "output_tokens", "seconds"):
            if value := getattr(usage, name):
                self.fields[name] = value
        if usage.seed is not None:
            self.fields["seed"] = usage.seed

    def server_timing(self) -> str:
        """The header Server-Timing: milliseconds per step and in total, and `cold` if a model was loaded."""
        steps = [f"{name};dur={value:.2f}" for name, value in self.steps.items()]
        steps.append(f"total;dur={self.total:.2f}")
        if self.fields.get("cold"):
            steps.insert(0, "cold")
        return ", ".join(steps)


_current: ContextVar[Timing | None] = ContextVar("hearth-timing", default=None)


def begin() -> Timing:
    """Start the timing of a request."""
    timing = Timing()
    _current.set(timing)
    return timing


def current() -> Timing:
    """The timing of this request; a new one if none was started (a direct call of `predict`)."""
    return _current.get() or begin()


class step:  # noqa: N801 -- reads as a statement: `with step("encode"):`
    """Add the time of the block to the request's timing under `name`."""

    __slots__ = ("name", "started")

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        self.started = time.perf_counter()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        timing, ended = current(), time.perf_counter()
        steps, name = timing.steps, self.name
        steps[name] = steps.get(name, 0.0) + (ended - self.started) * 1000
        if timing.spans is not None:
            timing.add_span(name, self.started, ended)


def time_tokens(tokens: Iterator[T]) -> Iterator[T]:
    """Yield the tokens, and record the time of the `first` one, and the median and longest `gap` between two tokens,
    including the consumer's time."""
    timing, gaps, last = current(), [], None
    try:
        for token in tokens:
            now = time.perf_counter()
            if last is None:
                timing.steps["first"] = (now - timing.started) * 1000
            else:
                gaps.append((now - last) * 1000)
            last = now
            yield token
    finally:
        if gaps:
            import statistics  # imported here to keep it out of cold starts

            timing.steps |= {"gap": statistics.median(gaps), "gap_max": max(gaps)}
