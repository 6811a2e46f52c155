"""Where the milliseconds of one request go: steps with names, kept beside the request, not in it."""

from __future__ import annotations

import time
from contextvars import ContextVar
from types import TracebackType


class Trace:
    """Milliseconds per step, and what else the log line says of a request."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}
        self.facts: dict[str, str | int | float | bool] = {}
        self.started = time.perf_counter()

    @property
    def total(self) -> float:
        """Milliseconds since the request began."""
        return (time.perf_counter() - self.started) * 1000

    def server_timing(self) -> str:
        """The Server-Timing header: the steps and their sum, in milliseconds."""
        steps = [f"{name};dur={value:.2f}" for name, value in self.steps.items()]
        return ", ".join([*steps, f"total;dur={self.total:.2f}"])


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
