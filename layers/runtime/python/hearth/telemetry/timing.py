"""Where the milliseconds of one request go: steps with names, kept beside the request, not in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextvars import ContextVar
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")


class Trace:
    """Milliseconds per step, and what else the log line says of a request."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}
        self.facts: dict[str, str | int | float | bool] = {}
        self.input = ""
        """SHA-256 of what was sent, in hexadecimal, where an audit wants it; in no log line."""
        self.started = time.perf_counter()

    @property
    def total(self) -> float:
        """Milliseconds since the request began."""
        return (time.perf_counter() - self.started) * 1000

    def server_timing(self) -> str:
        """The Server-Timing header: the steps and what passed in all, in milliseconds; `cold` if a model was loaded."""
        steps = [f"{name};dur={value:.2f}" for name, value in self.steps.items()]
        return ", ".join(["cold"] * bool(self.facts.get("cold")) + [*steps, f"total;dur={self.total:.2f}"])

    def count(self, name: str, number: int) -> None:
        """Add to a fact that is a number."""
        self.facts[name] = int(self.facts.get(name, 0)) + number


_current: ContextVar[Trace | None] = ContextVar("hearth-trace", default=None)


def begin() -> Trace:
    """A fresh trace for the request that starts here."""
    trace = Trace()
    _current.set(trace)
    return trace


def current() -> Trace:
    """The trace of this request; a fresh one where nobody began any (a direct call of `predict`)."""
    return _current.get() or begin()


class step:  # noqa: N801 -- reads as a statement: `with step("encode"):`
    """Adds the time of its block to the request's trace under `name`."""

    __slots__ = ("name", "started")

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        self.started = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        steps = current().steps
        steps[self.name] = steps.get(self.name, 0.0) + (time.perf_counter() - self.started) * 1000


def paced(items: Iterator[T]) -> Iterator[T]:
    """The items as they come; the request's trace learns when the `first` one did, and the median and longest `gap`
    between two, the time that the reader took included."""
    timing, gaps, last = current(), [], None
    try:
        for item in items:
            now = time.perf_counter()
            if last is None:
                timing.steps["first"] = (now - timing.started) * 1000
            else:
                gaps.append((now - last) * 1000)
            last = now
            yield item
    finally:
        if gaps:
            import statistics  # here, for no cold start should wait for it

            timing.steps |= {"gap": statistics.median(gaps), "gap_max": max(gaps)}
