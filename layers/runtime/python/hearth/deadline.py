"""How long the work of a request may still take, and the one thread that ends runs of ONNX Runtime in time.

The remaining time of an invocation, less a margin for writing the answer, bounds all work done in it. Loops call
`check` between steps. A run of ONNX Runtime checks nothing, so it is cancelled from outside when its time is over.
"""

from __future__ import annotations

import functools
import threading
import time
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from hearth.errors import DeadlineExceeded

MARGIN = 0.5
"""Seconds of an invocation that are kept for writing its answer."""

_end: ContextVar[float | None] = ContextVar("hearth-deadline", default=None)


def set_from(context: Any) -> None:
    """End the work that follows before Lambda ends the invocation of `context`; without a context there is no end."""
    milliseconds = getattr(context, "get_remaining_time_in_millis", None)
    _end.set(None if milliseconds is None else time.monotonic() + milliseconds() / 1000 - MARGIN)


def set_seconds(seconds: float) -> None:
    """Let the work that follows take this long."""
    _end.set(time.monotonic() + seconds)


def remaining() -> float | None:
    """Seconds that are left; None where no end was set."""
    end = _end.get()
    return None if end is None else end - time.monotonic()


def check() -> None:
    """Raise DeadlineExceeded where no time is left."""
    end = _end.get()
    if end is not None and time.monotonic() >= end:
        raise _exceeded()


def expires_within(seconds: float) -> bool:
    """Whether less than so many seconds are left."""
    end = _end.get()
    return end is not None and time.monotonic() + seconds >= end


def _exceeded() -> DeadlineExceeded:
    return DeadlineExceeded("The request took longer than it may and was ended: send less at once, or in parts")


@functools.cache
def _run_options() -> Any:
    from onnxruntime import RunOptions

    return RunOptions


class Run:
    """`with Run() as options`: a run with these options ends when the request's time does; None sets no end.

    Raises DeadlineExceeded at once where no time is left, and in place of the error of a run that was ended.
    """

    __slots__ = ("end", "ended", "options")

    def __init__(self) -> None:
        self.end = _end.get()
        self.ended = False
        self.options: Any = None

    def __enter__(self) -> Any:
        if self.end is not None:
            if time.monotonic() >= self.end:
                raise _exceeded()
            self.options = _run_options()()
            _watchdog.watch(self)
        return self.options

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self.end is not None:
            _watchdog.forget(self)
            if self.ended and error is not None:
                raise _exceeded() from None


class _Watchdog:
    """One thread for all runs. It sleeps until the earliest end that it knows; most runs are over by then, and
    neither beginning nor ending them wakes it."""

    def __init__(self) -> None:
        self._runs: set[Run] = set()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._wakes = float("inf")
        self._thread: threading.Thread | None = None

    def watch(self, run: Run) -> None:
        assert run.end is not None  # noqa: S101
        with self._lock:
            self._runs.add(run)
            if self._thread is None or not self._thread.is_alive():  # a process that was forked has no threads
                self._thread = threading.Thread(target=self._watch, name="hearth-deadline", daemon=True)
                self._thread.start()
            if run.end < self._wakes:
                self._wakes = run.end
                self._changed.notify()

    def forget(self, run: Run) -> None:
        with self._lock:
            self._runs.discard(run)

    def _watch(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for run in self._runs:
                    if run.end is not None and run.end <= now:
                        run.ended = True
                        run.options.terminate = True
                pending = [run.end for run in self._runs if run.end is not None and not run.ended]
                self._wakes = min(pending, default=float("inf"))
                self._changed.wait(None if self._wakes == float("inf") else max(self._wakes - now, 0))


_watchdog = _Watchdog()
