"""Which errors are tried again, how often, for how long, and what is raised in the end."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator

import pytest

from hearth import deadline
from hearth.aws.retry import ATTEMPTS, TransientError, retry
from hearth.errors import IntegrityError, NotFound, StoreError


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The pauses between attempts, which take no time here; no request has a deadline."""
    taken: list[float] = []
    monkeypatch.setattr(time, "sleep", taken.append)
    monkeypatch.setattr(os, "urandom", lambda count: bytes(count))
    token = deadline._end.set(None)
    yield taken
    deadline._end.reset(token)


def failing(*errors: Exception) -> Callable[[], str]:
    remaining = iter(errors)

    def attempt() -> str:
        if error := next(remaining, None):
            raise error
        return "done"

    return attempt


@pytest.mark.parametrize(
    "error", [ConnectionResetError("gone"), TimeoutError(), TransientError("503"), IntegrityError("x")]
)
def test_a_transient_error_is_tried_again(pauses: list[float], error: Exception) -> None:
    assert retry(failing(*[error] * (ATTEMPTS - 1)), None) == "done"
    assert pauses == pytest.approx([0.05, 0.1, 0.2, 0.4])


def test_pauses_are_random_and_at_most_doubled(pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", lambda count: b"\xff" * count)
    retry(failing(TransientError("x"), TransientError("y")), None)
    assert pauses == pytest.approx([0.1, 0.2])


def test_success_needs_one_attempt(pauses: list[float]) -> None:
    assert retry(failing(), None) == "done"
    assert pauses == []


def test_after_the_last_attempt_the_error_is_raised(pauses: list[float]) -> None:
    last = TransientError("the store returned 503 for a")
    with pytest.raises(TransientError) as raised:
        retry(failing(*[TransientError("first")] * (ATTEMPTS - 1), last), None)
    assert raised.value is last
    with pytest.raises(IntegrityError, match="differs"):
        retry(failing(*[IntegrityError("differs")] * ATTEMPTS), None)
    reason = rf"the store did not respond after {ATTEMPTS} attempts \(ConnectionResetError: gone\)"
    with pytest.raises(StoreError, match=reason):
        retry(failing(*[ConnectionResetError("gone")] * ATTEMPTS), None)


@pytest.mark.parametrize("error", [NotFound("x"), StoreError("refused"), ValueError("x")])
def test_a_lasting_error_is_raised_at_once(pauses: list[float], error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        retry(failing(error), None)
    assert raised.value is error
    assert pauses == []


@pytest.mark.parametrize("name", ["EACCES", "EEXIST", "EFBIG", "ENOSPC", "EROFS", "EDQUOT"])
def test_an_error_of_the_local_disk_is_raised_at_once(pauses: list[float], name: str) -> None:
    with pytest.raises(OSError, match="disk") as raised:
        retry(failing(OSError(getattr(errno, name), "disk")), None)
    assert raised.value.errno == getattr(errno, name)
    assert pauses == []


def test_no_attempt_begins_after_the_deadline(pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    errors = [TransientError("x")] * 4
    assert retry(failing(*errors), 100.41) == "done"
    pauses.clear()
    with pytest.raises(TransientError):
        retry(failing(*errors), 100.39)
    assert pauses == pytest.approx([0.05, 0.1, 0.2])


def test_no_attempt_begins_after_the_requests_deadline(pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    deadline.set_seconds(0.15)
    with pytest.raises(StoreError, match="after 3 attempts"):
        retry(failing(*[TimeoutError("slow")] * 4), None)
    assert pauses == pytest.approx([0.05, 0.1])
