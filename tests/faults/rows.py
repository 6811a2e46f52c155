"""Rows of the table of faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from hearth_functions.text_classification import app as text
from tests.faults.lab import CONTEXT, PRAISE, TEXT, Lab, told
from tests.faults.proxy import Fault, always
from tests.support.requests import rest_event

Attempt = Callable[[], str]


def ask(place: Lab) -> str:
    """A request for the text model: its status and error code."""
    status, code = told(text.handler(rest_event("POST", f"/models/{TEXT}", PRAISE), CONTEXT))
    return f"{status} {code}".strip()


@dataclass(frozen=True)
class Row:
    fault: str
    where: str
    expected: tuple[str, ...]
    broken: Callable[[Lab], AbstractContextManager[Attempt]]
    """While this is entered the fault is there; it gives what is tried."""
    again: Callable[[Lab], str] = ask
    """The next request, in the same process, without the fault."""
    then: str = "200"


def row(
    fault: str,
    where: str,
    expected: str | tuple[str, ...],
    broken: Callable[[Lab], AbstractContextManager[object]],
    attempt: Callable[[Lab], str] = ask,
) -> Row:
    @contextmanager
    def entered(place: Lab) -> Iterator[Attempt]:
        with broken(place):
            yield lambda: attempt(place)

    return Row(fault, where, (expected,) if isinstance(expected, str) else expected, entered)


def spoiled(
    name: str,
    part: str,
    fault: Fault,
    expected: str | tuple[str, ...],
    times: int = 10**9,
    attempt: Callable[[Lab], str] = ask,
) -> Row:
    """A fault of the proxy's on the first `times` calls whose path has `part`."""

    @contextmanager
    def broken(place: Lab) -> Iterator[None]:
        place.proxy.set(always(fault, part, times))
        yield

    return row(name, part or "every call", expected, broken, attempt)
