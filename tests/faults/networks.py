"""Faults between the function and its store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from tests.faults.lab import Lab, variables
from tests.faults.proxy import Fault
from tests.faults.rows import Row, row, spoiled
from tests.support.emulator import free_port

STORE, WRONG = "503 store_error", "503 integrity_error"
WEIGHTS, ALIASES = "model.bin", "aliases.json"


@contextmanager
def impatient(place: Lab) -> Iterator[None]:
    """A second for an answer in the place of ten, and five for a fetch in that of sixty."""
    with patch("hearth.aws.client.Endpoint._read_timeout", lambda _: 1.0), variables(place, HEARTH_FETCH_SECONDS="5"):
        yield


def hasty(made: Row) -> Row:
    def broken(place: Lab) -> object:
        return _both(place, made)

    return Row(made.fault, made.where, made.expected, broken, made.again, made.then)  # type: ignore[arg-type]


@contextmanager
def _both(place: Lab, made: Row) -> Iterator[object]:
    with impatient(place), made.broken(place) as attempt:
        yield attempt


def rows(place: Lab) -> Iterator[Row]:
    yield spoiled("reset, once", WEIGHTS, Fault("reset"), "200", 1)
    yield spoiled("reset, for ever", WEIGHTS, Fault("reset"), STORE)
    yield spoiled("reset after the call, once", ALIASES, Fault("lost"), "200", 1)
    yield spoiled("answer cut, once", WEIGHTS, Fault("cut"), "200", 1)
    yield spoiled("answer cut, for ever", WEIGHTS, Fault("cut"), STORE)
    yield spoiled("a bit flipped, once", WEIGHTS, Fault("flip"), "200", 1)
    yield spoiled("a bit flipped, for ever", WEIGHTS, Fault("flip"), WRONG)
    yield spoiled("slow, 2 MB/s", WEIGHTS, Fault("slow", 2_000_000), "200")
    yield hasty(spoiled("a trickle, 10 KB/s", WEIGHTS, Fault("slow", 10_000), STORE))
    yield hasty(spoiled("silence, once", WEIGHTS, Fault("silence"), "200", 1))
    yield hasty(spoiled("silence, for ever", "", Fault("silence"), STORE))
    yield spoiled("no HTTP, once", WEIGHTS, Fault("garbage"), "200", 1)
    yield spoiled("503, three times", WEIGHTS, Fault("status", 503), "200", 3)
    yield spoiled("503, for ever", "", Fault("status", 503), STORE)
    yield spoiled("throttled (429), twice", ALIASES, Fault("status", 429), "200", 2)
    nobody = f"http://127.0.0.1:{free_port()}"
    yield row("nobody listens", "the endpoint", STORE, lambda place: variables(place, AWS_ENDPOINT_URL=nobody))
    nowhere = "http://s3.nowhere.invalid"
    yield row("no such name", "the endpoint", STORE, lambda place: variables(place, AWS_ENDPOINT_URL=nowhere))
    for hours in (1, -1):
        ahead = Fault("clock", 3600 * hours)
        yield spoiled(f"the store's clock is {hours:+d} h off", "", ahead, "200")
