"""Admission of work on the local server: a request waits until there is memory and a processor for it."""

from __future__ import annotations

import functools
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import msgspec

from hearth import deadline, settings
from hearth.errors import TooManyRequests
from hearth.models.model import Model
from hearth.tasks.task import Prediction, Task
from hearth.tasks.work_memory import estimate

if TYPE_CHECKING:
    from hearth.tasks.generation import Generation

RETRY_SECONDS = 1
TURNS_PER_CPU = 2
"""Computations that run at once: more of them would take longer in all, and starve the event loop of the GIL."""


SMALL_DOCUMENT = 64 * 1024
"""Bytes of a body below which its parsing is not counted."""
DOCUMENT_FACTOR = 16
"""Memory of a parsed JSON document per byte: a string of two characters takes 64 bytes for 5."""


_yields: ContextVar[bool] = ContextVar("hearth-yields", default=False)


@contextmanager
def yielding() -> Iterator[None]:
    """Let reservations of the block wait until no request is computed."""
    token = _yields.set(True)
    try:
        yield
    finally:
        _yields.reset(token)


class MemoryBudget:
    """Reservations of bytes, granted in the order of their requests so that large ones are not starved."""

    def __init__(self, total: int, turns: int) -> None:
        self.total, self.turns = total, turns
        self.reserved = self.running = 0
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, size: int, *, is_stream: bool = False) -> Iterator[None]:
        """Reserve `size` bytes for the block; more than the budget means the whole budget.

        A stream takes no turn, because its client decides how fast it goes on. Waits for other reservations until the
        deadline. Raises TooManyRequests.
        """
        granted, turn = min(size, self.total), 0 if is_stream else 1
        if _yields.get():
            self._acquire_idle(granted)
        else:
            self._acquire(granted, turn)
        try:
            yield
        finally:
            with self._changed:
                self.reserved -= granted
                self.running -= turn
                self._changed.notify_all()

    def _acquire(self, size: int, turn: int) -> None:
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                while self._queue[0] is not ticket or not self._fits(size, turn):
                    remaining = deadline.remaining()
                    if (remaining is not None and remaining <= 0) or not self._changed.wait(remaining):
                        raise TooManyRequests(
                            "The server is busy with other requests and could not begin this one in time; retry later",
                            retry_after=RETRY_SECONDS,
                        )
                self.reserved += size
                self.running += turn
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def _acquire_idle(self, size: int) -> None:
        """Reserve `size` bytes and a turn once nothing else is computed or waits for it. Raises TooManyRequests."""
        with self._changed:
            while self._queue or self.running or not self._fits(size, 1):
                remaining = deadline.remaining()
                if (remaining is not None and remaining <= 0) or not self._changed.wait(remaining):
                    raise TooManyRequests("The server was never idle")
            self.reserved += size
            self.running += 1

    def _fits(self, size: int, turn: int) -> bool:
        return self.reserved + size <= self.total and self.running + turn <= self.turns


def admitted(task: Task) -> Task:
    """The task, whose work waits for its part of the budget."""
    predict, stream = task.predict, task.stream

    def admitted_predict(model: Model[Any, Any], request: Any) -> Prediction:
        budget = get()
        if budget is None:
            return predict(model, request)
        with budget.reserve(estimate(task.row, model, request)):
            return predict(model, request)

    if stream is None:
        return msgspec.structs.replace(task, predict=admitted_predict)

    def admitted_stream(model: Model[Any, Any], request: Any) -> Generation:
        generation = stream(model, request)
        if budget := get():
            generation.reserve(budget, estimate(task.row, model, request))
        return generation

    return msgspec.structs.replace(task, predict=admitted_predict, stream=admitted_stream)


@functools.cache
def documents() -> MemoryBudget | None:
    """The budget for parsed bodies: a quarter of the other one, beside it, because who holds a part of it waits for the
    other one."""
    size = settings.get().work_memory // 4
    return MemoryBudget(size, 2 * TURNS_PER_CPU * (os.cpu_count() or 1)) if size else None


@functools.cache
def get() -> MemoryBudget | None:
    """The budget of this process; None on Lambda, where an environment handles one request at a time."""
    size = settings.get().work_memory
    return MemoryBudget(size, TURNS_PER_CPU * (os.cpu_count() or 1)) if size else None
