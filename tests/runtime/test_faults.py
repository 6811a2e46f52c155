"""A few of the faults that `tests.faults` makes in full: what fails is said, and the next call is fine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults import nth
from tests.faults.lab import Lab, lab

# A connection that an exception's frames keep in a cycle is collected in whatever order, its socket perhaps first.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
CASES = {case.name: case for case in nth.CASES}


@pytest.fixture(scope="module")
def place() -> Iterator[Lab]:
    with lab(patient=False) as built:
        yield built


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        *((name, "403") for name in ("text", "catalog", "SQS, last delivery", "SQS, poison", "uploads: a ticket")),
        ("storage event", "reset"),
        ("storage event", "503 for ever"),
        ("uploads: a removal", "reset"),
        ("a batch of three", "403"),
        ("a call by reference", "503 for ever"),
    ],
)
def test_the_nth_call_fails(place: Lab, name: str, fault: str) -> None:
    outcome = nth.run(place, CASES[name], fault)
    assert outcome.calls == outcome.ends.total() > 0
