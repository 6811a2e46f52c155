"""The hierarchy of errors: statuses and codes that clients rely on."""

from __future__ import annotations

import re

import pytest

from hearth import errors
from hearth.errors import BadRequest, HearthError, StoreError, TooManyRequests, Unavailable


def test_the_docstring_has_the_status_of_every_class() -> None:
    described = dict(re.findall(r"(\w+) (\d{3})\b", errors.__doc__ or ""))
    for name, status in described.items():
        assert getattr(errors, name).status == int(status), name
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, HearthError)}
    assert kinds - described.keys() >= {"HearthError", "OutOfScope"}


def test_codes_are_told_apart() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HearthError)]
    codes = [kind.code for kind in kinds if "code" in vars(kind)]
    assert len(set(codes)) == len(codes)


def test_an_error_has_a_message_a_wait_and_a_field() -> None:
    error = BadRequest("x is wrong", retry_after=3, param="a.b")
    assert (str(error), error.message, error.retry_after, error.param) == ("x is wrong", "x is wrong", 3, "a.b")
    assert (HearthError("x").retry_after, HearthError("x").param) == (None, None)


def test_what_may_succeed_later_has_a_wait() -> None:
    assert Unavailable("x").retry_after == StoreError("x").retry_after == 1
    assert Unavailable("x", retry_after=None).retry_after is None
    assert TooManyRequests("x", retry_after=9).retry_after == 9


def test_the_end_of_a_process_is_no_error() -> None:
    assert (KeyboardInterrupt, SystemExit, GeneratorExit) == errors.ENDS
    with pytest.raises(SystemExit):
        raise errors.ENDS[1]
