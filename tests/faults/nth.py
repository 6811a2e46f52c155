"""The n-th call to a service fails, for n = 1, 2, 3 … until a run of the handler has fewer than n calls.

`python -m tests.faults.nth` writes a section of docs/testing/results.md.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any

from hearth.async_inference.batch import BatchFailedError
from hearth.async_inference.storage_events import EventFailedError
from hearth_functions.catalog import app as catalog
from hearth_functions.image_classification import app as image
from hearth_functions.text_classification import app as text
from tests.faults.lab import CONTEXT, IMAGE, PRAISE, TEXT, Lab, start_lab, status_and_code
from tests.faults.proxy import Fault, Plan
from tests.support.pictures import picture
from tests.support.record import record
from tests.support.requests import rest_event
from tests.support.storage import eventbridge_event, message, notification, sqs_event

FAULTS: dict[str, Callable[[int], Plan]] = {
    "reset": lambda n: lambda call: Fault("reset") if call.number == n else None,
    "503 for ever": lambda n: lambda call: Fault("status", 503) if call.number >= n else None,
    "403": lambda n: lambda call: Fault("status", 403) if call.number == n else None,
}
Attempt = Callable[[], str]
"""One call of the handler, which returns its outcome. Raises AssertionError if the outcome is not allowed."""


@dataclass
class Case:
    """A handler and a call of it. `begin` prepares a run and returns its attempt and a check of the final state."""

    name: str
    begin: Callable[[Lab, str], tuple[Attempt, Callable[[], None]]]


@dataclass
class Outcome:
    """The runs of one case with one fault."""

    calls: int = 0
    """Number of calls in a run without a fault."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """Number of runs with a fault by their outcome."""
    seconds: float = 0.0


def http(
    handler: Any, event: dict[str, Any], ok_statuses: tuple[int, ...] = (200,), allowed_error: tuple[int, str] = (0, "")
) -> Attempt:
    def attempt() -> str:
        status, code = status_and_code(handler(event, CONTEXT))
        assert status in ok_statuses or (status, code) in ((503, "store_error"), allowed_error), (status, code)
        return "answered" if status in ok_statuses else f"{status} {code}"

    return attempt


def request_case(name: str, handler: Any, event: dict[str, Any]) -> Case:
    return Case(name, lambda lab, run: (http(handler, event), lambda: None))


def _one_result(lab: Lab, key: str) -> None:
    assert set(lab.result_counts(key).values()) == {1}, lab.result_counts(key)
    assert len(lab.result_counts(key)) == 2, "the result of the version, and the latest"
    assert lab.take_dead_letters() == []


def direct(lab: Lab, run: str) -> tuple[Attempt, Callable[[], None]]:
    key = f"uploads/{TEXT}/{run}"
    event = {"Records": [notification("inbox", *lab.upload(key, b"good"))]}

    def attempt() -> str:
        with suppress(EventFailedError):
            assert text.handler(event, CONTEXT) == {}
            return "answered"
        return "raised, for Lambda to retry"

    return attempt, lambda: _one_result(lab, key)


def by_queue(lab: Lab, run: str) -> tuple[Attempt, Callable[[], None]]:
    """Two uploads in a batch."""
    keys = [f"uploads/{IMAGE}/{run}-{number}" for number in range(2)]
    events = [eventbridge_event("inbox", *lab.upload(key, picture())) for key in keys]
    deliveries = Counter[str]()

    def attempt() -> str:
        deliveries["all"] += 1
        messages = (message(event, f"m{number}", deliveries["all"]) for number, event in enumerate(events))
        response = image.handler(sqs_event(*messages), CONTEXT)
        failed = len(response["batchItemFailures"])
        return f"{failed} of 2 to redeliver" if failed else "answered"

    return attempt, lambda: [_one_result(lab, key) for key in keys] and None


def last_delivery(lab: Lab, run: str) -> tuple[Attempt, Callable[[], None]]:
    """A failure on the last delivery becomes a dead letter: sent by us, or moved by SQS if reported as failed."""
    key = f"uploads/{TEXT}/{run}"
    event = eventbridge_event("inbox", *lab.upload(key, b"good"))
    outcomes: list[str] = []

    def attempt() -> str:
        attempts = len(outcomes)
        response = text.handler(sqs_event(message(event, "m", 3 + attempts)), CONTEXT)
        letters = lab.take_dead_letters()
        assert all(json.loads(letter) == event for letter in letters)
        results = lab.result_counts(key)
        assert set(results.values()) <= {1}
        if response["batchItemFailures"]:
            outcomes.append("to SQS")
        elif letters:
            outcomes.append("dead letter")
        else:
            assert len(results) == 2
            outcomes.append("answered")
        return outcomes[-1]

    return attempt, lambda: None


def poison(lab: Lab, run: str) -> tuple[Attempt, Callable[[], None]]:
    """An invalid upload by POST /uploads: its reason is in the dead letter and in place of its result."""
    key = f"uploads/{IMAGE}/u{md5(run.encode(), usedforsecurity=False).hexdigest()}"
    event = eventbridge_event("inbox", *lab.upload(key, b"no picture"))
    letters: list[str] = []

    def attempt() -> str:
        response = image.handler(sqs_event(message(event)), CONTEXT)
        letters.extend(lab.take_dead_letters())
        assert response["batchItemFailures"] or letters, "neither dead letter nor redelivery"
        return "to redeliver" if response["batchItemFailures"] else "dead letter"

    def check_invariant() -> None:
        assert {json.dumps(json.loads(letter)) for letter in letters} == {json.dumps(event)}
        assert lab.result_counts(key).keys() == {f"results/{key}.json.failed"}

    return attempt, check_invariant


def batch(lab: Lab, run: str) -> tuple[Attempt, Callable[[], None]]:
    """Two pictures and an invalid object in a Distributed Map, which retries a batch that raised."""
    name = md5(run.encode(), usedforsecurity=False).hexdigest()
    bodies = {"a": picture(), "b": b"no picture", "c": picture()}
    uploaded = [lab.upload(f"batch/{name}/{item}", body) for item, body in bodies.items()]
    items = [{"Key": key, "Etag": etag, "Size": size} for key, etag, size, _, _ in uploaded]
    event = {"batch": {"bucket": "inbox", "model": IMAGE, "run": name}, "Items": items}

    def attempt() -> str:
        try:
            response = image.handler(event, CONTEXT)
        except BatchFailedError:
            return "raised, for the map to retry"
        assert response["done"] == 2
        assert [row["error_type"] for row in response["failed"]] == ["unsupported_media"]
        return "answered"

    def check_invariant() -> None:
        counts = lab.write_counts(f"results/{name}/")
        assert set(counts.values()) == {1}
        assert len(counts) == 2

    return attempt, check_invariant


def uploads(lab: Lab, run: str) -> tuple[Attempt, Callable[[], None]]:
    upload_request = json.dumps({"model": TEXT, "content_type": "text/plain", "size": 4}).encode()
    return http(catalog.handler, rest_event("POST", "/uploads", upload_request), (201,)), lambda: None


def _create_upload(lab: Lab) -> dict[str, Any]:
    plan, lab.proxy.plan = lab.proxy.plan, None
    upload_request = json.dumps({"model": TEXT, "content_type": "text/plain", "size": 4}).encode()
    upload: dict[str, Any] = json.loads(
        catalog.handler(rest_event("POST", "/uploads", upload_request), CONTEXT)["body"]
    )
    lab.proxy.plan = plan
    return upload


def result(lab: Lab, run: str) -> tuple[Attempt, Callable[[], None]]:
    upload = _create_upload(lab)
    event = eventbridge_event("inbox", *lab.upload(upload["key"], b"good"))
    text.handler(event, CONTEXT)
    return http(catalog.handler, rest_event("GET", f"/results/{upload['id']}")), lambda: _one_result(lab, upload["key"])


def removal(lab: Lab, run: str) -> tuple[Attempt, Callable[[], None]]:
    upload = _create_upload(lab)
    event = eventbridge_event("inbox", *lab.upload(upload["key"], b"good"))
    text.handler(event, CONTEXT)

    def check_invariant() -> None:
        assert lab.result_counts(upload["key"]) == {}
        assert not lab.s3.list_object_versions(Bucket="inbox", Prefix=upload["key"]).get("Versions")

    return http(catalog.handler, rest_event("DELETE", f"/results/{upload['id']}"), (204,)), check_invariant


def by_reference(lab: Lab, run: str) -> tuple[Attempt, Callable[[], None]]:
    upload = _create_upload(lab)
    lab.upload(upload["key"], b"good")
    body = json.dumps({"inputs": {"upload": upload["id"]}}).encode()
    # Without permission to list the bucket, S3 returns 403 for a missing object.
    return http(
        text.handler, rest_event("POST", f"/models/{TEXT}", body), allowed_error=(404, "not_found")
    ), lambda: None


CASES = (
    request_case("text", text.handler, rest_event("POST", f"/models/{TEXT}", PRAISE)),
    request_case("image", image.handler, rest_event("POST", f"/models/{IMAGE}", picture())),
    request_case("catalog", catalog.handler, rest_event("GET", "/models")),
    Case("storage event", direct),
    Case("SQS, a batch of two", by_queue),
    Case("SQS, last delivery", last_delivery),
    Case("SQS, poison", poison),
    Case("a batch of three", batch),
    Case("uploads: a ticket", uploads),
    Case("uploads: a result", result),
    Case("uploads: a removal", removal),
    Case("a call by reference", by_reference),
)


def run(lab: Lab, case: Case, fault: str) -> Outcome:
    """Run every n. Raises AssertionError if the invariant does not hold."""
    outcome, started = Outcome(), time.monotonic()
    for n in range(1, 200):
        lab.proxy.set(None)
        lab.reset()
        attempt, check_invariant = case.begin(lab, f"{case.name} {fault} {n}")
        lab.reset()
        lab.proxy.set(FAULTS[fault](n))
        first = attempt()
        faults = lab.proxy.fault_count
        if not faults:
            outcome.calls = len(lab.proxy.calls)
        lab.proxy.set(None)
        second = attempt()
        assert "answered" in second or "dead letter" in second, f"the call after {first}: {second}"
        check_invariant()
        if not faults:
            assert first == second
            outcome.seconds = time.monotonic() - started
            return outcome
        outcome.outcomes[first] += 1
    raise AssertionError("every run had a fault")


def main() -> None:
    lines = [
        "| handler | calls | " + " | ".join(FAULTS) + " | seconds |",
        "|---|---:|" + "---|" * len(FAULTS) + "---:|",
    ]
    total = 0
    with start_lab() as lab:
        for case in CASES:
            outcomes = {fault: run(lab, case, fault) for fault in FAULTS}
            total += sum(outcome.outcomes.total() for outcome in outcomes.values())
            cells = [
                ", ".join(f"{count} × {name}" for name, count in outcome.outcomes.items())
                for outcome in outcomes.values()
            ]
            seconds = sum(outcome.seconds for outcome in outcomes.values())
            lines.append(f"| {case.name} | {outcomes['403'].calls} | {' | '.join(cells)} | {seconds:.1f} |")
            print(lines[-1], flush=True)
    introduction = (
        f"{total} runs in which one call, or all from one on, failed. Each next call succeeded, and for events the "
        "invariant held each time: one result per version, or a dead letter. `reset` and `403` affect one call; `503` "
        "affects all later calls too."
    )
    record("The n-th call fails", "python -m tests.faults.nth", "\n\n".join([introduction, "\n".join(lines)]))


if __name__ == "__main__":
    main()
