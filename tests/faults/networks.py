"""Faults between the function and its store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from tests.faults.lab import Lab, variables
from tests.faults.proxy import Fault
from tests.faults.rows import Row, proxy_fault, row
from tests.support.emulator import free_port

STORE_ERROR, INTEGRITY_ERROR = "503 store_error", "503 integrity_error"
WEIGHTS, ALIASES = "model.bin", "aliases.json"


@contextmanager
def short_timeouts(lab: Lab) -> Iterator[None]:
    """Wait one second instead of ten for a response, and five instead of sixty for a download."""
    with patch("hearth.aws.client.Endpoint._read_timeout", lambda _: 1.0), variables(lab, HEARTH_FETCH_SECONDS="5"):
        yield


def with_short_timeouts(base: Row) -> Row:
    def inject(lab: Lab) -> object:
        return _inject_with_short_timeouts(lab, base)

    return Row(base.fault, base.target, base.expected, inject, base.next_call, base.next_expected)  # type: ignore[arg-type]


@contextmanager
def _inject_with_short_timeouts(lab: Lab, base: Row) -> Iterator[object]:
    with short_timeouts(lab), base.inject(lab) as attempt:
        yield attempt


def rows(lab: Lab) -> Iterator[Row]:
    yield proxy_fault("reset, once", WEIGHTS, Fault("reset"), "200", 1)
    yield proxy_fault("reset, for ever", WEIGHTS, Fault("reset"), STORE_ERROR)
    yield proxy_fault("reset after the call, once", ALIASES, Fault("lost"), "200", 1)
    yield proxy_fault("answer cut, once", WEIGHTS, Fault("cut"), "200", 1)
    yield proxy_fault("answer cut, for ever", WEIGHTS, Fault("cut"), STORE_ERROR)
    yield proxy_fault("a bit flipped, once", WEIGHTS, Fault("flip"), "200", 1)
    yield proxy_fault("a bit flipped, for ever", WEIGHTS, Fault("flip"), INTEGRITY_ERROR)
    yield proxy_fault("slow, 2 MB/s", WEIGHTS, Fault("slow", 2_000_000), "200")
    yield with_short_timeouts(proxy_fault("a trickle, 10 KB/s", WEIGHTS, Fault("slow", 10_000), STORE_ERROR))
    yield with_short_timeouts(proxy_fault("silence, once", WEIGHTS, Fault("silence"), "200", 1))
    yield with_short_timeouts(proxy_fault("silence, for ever", "", Fault("silence"), STORE_ERROR))
    yield proxy_fault("not HTTP, once", WEIGHTS, Fault("garbage"), "200", 1)
    yield proxy_fault("503, three times", WEIGHTS, Fault("status", 503), "200", 3)
    yield proxy_fault("503, for ever", "", Fault("status", 503), STORE_ERROR)
    yield proxy_fault("throttled (429), twice", ALIASES, Fault("status", 429), "200", 2)
    unused = f"http://127.0.0.1:{free_port()}"
    yield row("nothing listens", "the endpoint", STORE_ERROR, lambda lab: variables(lab, AWS_ENDPOINT_URL=unused))
    unresolvable = "http://s3.nowhere.invalid"
    yield row(
        "unknown host name", "the endpoint", STORE_ERROR, lambda lab: variables(lab, AWS_ENDPOINT_URL=unresolvable)
    )
    for hours in (1, -1):
        clock = Fault("clock", 3600 * hours)
        yield proxy_fault(f"the store's clock is {hours:+d} h off", "", clock, "200")
