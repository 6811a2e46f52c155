"""Rows of the table of faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from hearth_functions.text_classification import app as text
from tests.faults.lab import CONTEXT, PRAISE, TEXT, Lab, status_and_code
from tests.faults.proxy import Fault, always
from tests.support.requests import rest_event

Attempt = Callable[[], str]


def call_text_model(lab: Lab) -> str:
    """Call the text model and return status and error code."""
    status, code = status_and_code(text.handler(rest_event("POST", f"/models/{TEXT}", PRAISE), CONTEXT))
    return f"{status} {code}".strip()


@dataclass(frozen=True)
class Row:
    fault: str
    target: str
    expected: tuple[str, ...]
    inject: Callable[[Lab], AbstractContextManager[Attempt]]
    """Context manager that injects the fault and yields the call to attempt."""
    next_call: Callable[[Lab], str] = call_text_model
    """The next request, in the same process, without the fault."""
    next_expected: str = "200"


def row(
    fault: str,
    target: str,
    expected: str | tuple[str, ...],
    inject: Callable[[Lab], AbstractContextManager[object]],
    attempt: Callable[[Lab], str] = call_text_model,
) -> Row:
    @contextmanager
    def inject_and_attempt(lab: Lab) -> Iterator[Attempt]:
        with inject(lab):
            yield lambda: attempt(lab)

    return Row(fault, target, (expected,) if isinstance(expected, str) else expected, inject_and_attempt)


def proxy_fault(
    name: str,
    path_part: str,
    fault: Fault,
    expected: str | tuple[str, ...],
    times: int = 10**9,
    attempt: Callable[[Lab], str] = call_text_model,
) -> Row:
    """A fault that the proxy injects into the first `times` calls whose path contains `path_part`."""

    @contextmanager
    def inject(lab: Lab) -> Iterator[None]:
        lab.proxy.set(always(fault, path_part, times))
        yield

    return row(name, path_part or "every call", expected, inject, attempt)
