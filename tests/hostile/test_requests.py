"""The short form of `python -m tests.hostile.requests`, and tests that it detects failures."""

from __future__ import annotations

from typing import Any

import pytest

from hearth.async_inference.storage_events import EventFailedError
from hearth.errors import BadRequest
from tests.hostile.bases import bases
from tests.hostile.requests import outcome_of, send_requests


def test_a_thousand_hostile_requests_get_no_5xx() -> None:
    counts = send_requests(1000, 5)
    assert counts.total() >= 900, counts
    kinds = {kind for kind, _ in counts}
    assert kinds == {base.protocol for base in bases("text", "name")} | {"envelope", "storage", "other", "junk"}
    outcomes = {outcome for _, outcome in counts}
    assert outcomes > {"200", "400", "404", "405", "bad_request"}


@pytest.mark.parametrize(
    "response",
    [
        {"statusCode": 500, "body": ""},
        {"statusCode": 503, "body": ""},
        {"statusCode": None},
        {"error": "x", "error_type": "internal"},
        {"result": object()},
        None,
    ],
)
def test_forbidden_responses_are_detected(response: Any) -> None:
    with pytest.raises((AssertionError, TypeError)):
        outcome_of(lambda event, context: response, {})


def test_escaping_exceptions_are_detected() -> None:
    def handler(event: Any, context: Any) -> Any:
        raise event

    with pytest.raises(BadRequest):
        outcome_of(handler, BadRequest("escaped"))
    assert outcome_of(handler, EventFailedError("of an event without a queue")) == "retried by Lambda"
