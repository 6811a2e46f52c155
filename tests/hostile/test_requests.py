"""The short form of `python -m tests.hostile.requests`, and proof that it sees what it looks for."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.async_inference.storage_events import EventFailedError
from hearth.errors import BadRequest
from tests.hostile.requests import answered, storm


def test_a_thousand_hostile_requests_are_answered_and_none_with_a_5xx() -> None:
    counts = storm(1000, 5)
    assert counts.total() >= 900, counts
    kinds = {kind for kind, _ in counts}
    assert kinds == {"native", "openai", "oip", "sagemaker", "uploads", "envelope", "storage", "junk"}
    answers = {answer for _, answer in counts}
    assert answers > {"200", "400", "404", "405", "bad_request"}


@pytest.mark.parametrize(
    "answer",
    [
        {"statusCode": 500, "body": ""},
        {"statusCode": 503, "body": ""},
        {"statusCode": None},
        {"error": "x", "error_type": "internal"},
        {"result": object()},
        None,
    ],
)
def test_what_may_not_be_answered_is_seen(answer: Any) -> None:
    with pytest.raises((AssertionError, TypeError)):
        answered(lambda event, context: answer, {})


def test_what_escapes_is_seen() -> None:
    def handler(event: Any, context: Any) -> Any:
        raise event

    with pytest.raises(BadRequest):
        answered(handler, BadRequest("escaped"))
    assert answered(handler, EventFailedError("of an event without a queue")) == "kept by Lambda"
