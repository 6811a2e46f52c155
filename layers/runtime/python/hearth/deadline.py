"""The deadline of a request, and the thread that terminates runs of ONNX Runtime at the deadline.

All work of an invocation must end before its timeout, less a margin to write the response. Loops call `check` between
steps. ONNX Runtime does not check a deadline, so its runs are terminated from another thread.
"""

from __future__ import annotations

import functools
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from hearth.errors import DeadlineExceeded

MARGIN = 0.5
"""Seconds of an invocation that are reserved to write its response."""

_end: ContextVar[float | None] = ContextVar("hearth-deadline", default=None)


def set_from(context: Any) -> None:
    """Set the deadline from the timeout of a Lambda `context`; without a context there is no deadline."""
    milliseconds = getattr(context, "get_remaining_time_in_millis", None)
    _end.set(None if milliseconds is None else time.monotonic() + milliseconds() / 1000 - MARGIN)


def set_seconds(seconds: float) -> None:
    """Set the deadline to this many seconds from now."""
    _end.set(time.monotonic() + seconds)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let the deadline be at most this many seconds away in the block."""
    end, current = time.monotonic() + seconds, _end.get()
    token = _end.set(end if current is None else min(end, current))
    try:
        yield
    finally:
        _end.reset(token)


def remaining() -> float | None:
    """Seconds until the deadline; None without a deadline."""
    end = _end.get()
    return None if end is None else end - time.monotonic()


def timeout(seconds: float) -> float:
    """`seconds`, or less if the deadline is nearer; at least a moment, since a socket takes 0 for no waiting at all."""
    left = remaining()
    return seconds if left is None else min(seconds, max(left, 0.1))


def check() -> None:
    """Raise DeadlineExceeded if the deadline has passed."""
    end = _end.get()
    if end is not None and time.monotonic() >= end:
        raise _exceeded()


class File(io.BytesIO):
    """A file in memory. Decoders that read it stop at the deadline."""

    def read(self, size: int | None = -1) -> bytes:
        check()
        return super().read(size)


def expires_within(seconds: float) -> bool:
    """Whether the deadline is less than this many seconds away."""
    end = _end.get()
    return end is not None and time.monotonic() + seconds >= end


def _exceeded() -> DeadlineExceeded:
    return DeadlineExceeded("The request took too long and was cancelled; send less input at once")


@functools.cache
def _run_options() -> Any:
    from onnxruntime import RunOptions

    return RunOptions


class Run:
    """`with Run() as options`: a run with these options is terminated at the deadline; None without a deadline.

    Raises DeadlineExceeded if the deadline has passed, and in place of the error of a terminated run.
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
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.end is not None:
            _watchdog.forget(self)
            if self.ended and exc is not None:
                raise _exceeded() from None


class _Watchdog:
    """One thread for all runs. It sleeps until the earliest known deadline. Most runs have ended by then, and neither
    their start nor their end wakes the thread."""

    def __init__(self) -> None:
        self._runs: set[Run] = set()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._wakes_at = float("inf")
        self._thread: threading.Thread | None = None

    def watch(self, run: Run) -> None:
        assert run.end is not None  # noqa: S101
        with self._lock:
            self._runs.add(run)
            if self._thread is None or not self._thread.is_alive():  # a forked process has no threads
                self._thread = threading.Thread(target=self._watch, name="hearth-deadline", daemon=True)
                self._thread.start()
            if run.end < self._wakes_at:
                self._wakes_at = run.end
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
                self._wakes_at = min(pending, default=float("inf"))
                self._changed.wait(None if self._wakes_at == float("inf") else max(self._wakes_at - now, 0))


_watchdog = _Watchdog()
