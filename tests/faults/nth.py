"""The n-th call to a service fails: for n = 1, 2, 3 … until a run of the handler has no call left that could.

`python -m tests.faults.nth` writes a section of docs/testing/results.md.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any

from hearth.async_inference.batch import BatchFailedError
from hearth.async_inference.storage_events import EventFailedError
from hearth_functions.catalog import app as catalog
from hearth_functions.image_classification import app as image
from hearth_functions.text_classification import app as text
from hearth_functions.uploads import app as uploading
from tests.faults.lab import CONTEXT, IMAGE, PRAISE, TEXT, Lab, lab, told
from tests.faults.proxy import Fault, Plan
from tests.functions.test_predict import picture
from tests.support.record import record
from tests.support.requests import rest_event
from tests.support.storage import eventbridge_event, message, notification, sqs_event

FAULTS: dict[str, Callable[[int], Plan]] = {
    "reset": lambda n: lambda call: Fault("reset") if call.number == n else None,
    "503 for ever": lambda n: lambda call: Fault("status", 503) if call.number >= n else None,
    "403": lambda n: lambda call: Fault("status", 403) if call.number == n else None,
}
Attempt = Callable[[], str]
"""One call of the handler: how it ended. Raises AssertionError where it may not end so."""


@dataclass
class Case:
    """A handler and a call of it; `begin` prepares one run and gives its attempt and what must hold at the end."""

    name: str
    begin: Callable[[Lab, str], tuple[Attempt, Callable[[], None]]]


@dataclass
class Outcome:
    """Of one case and one fault."""

    calls: int = 0
    """Of a run in which nothing failed."""
    ends: Counter[str] = field(default_factory=Counter)
    """How the runs with a fault ended."""
    seconds: float = 0.0


def http(
    handler: Any, event: dict[str, Any], fine: tuple[int, ...] = (200,), also: tuple[int, str] = (0, "")
) -> Attempt:
    def attempt() -> str:
        status, code = told(handler(event, CONTEXT))
        assert status in fine or (status, code) in ((503, "store_error"), also), (status, code)
        return "answered" if status in fine else f"{status} {code}"

    return attempt


def of_request(name: str, handler: Any, event: dict[str, Any]) -> Case:
    return Case(name, lambda lab, run: (http(handler, event), lambda: None))


def _one_result(lab: Lab, key: str) -> None:
    assert set(lab.results(key).values()) == {1}, lab.results(key)
    assert len(lab.results(key)) == 2, "the version's own, and the newest's"
    assert lab.dead() == []


def direct(lab: Lab, run: str) -> tuple[Attempt, Callable[[], None]]:
    key = f"uploads/{TEXT}/{run}"
    event = {"Records": [notification("inbox", *lab.upload(key, b"good"))]}

    def attempt() -> str:
        with suppress(EventFailedError):
            assert text.handler(event, CONTEXT) == {}
            return "answered"
        return "raised, for Lambda to repeat"

    return attempt, lambda: _one_result(lab, key)


def by_queue(lab: Lab, run: str) -> tuple[Attempt, Callable[[], None]]:
    """Two uploads in a batch."""
    keys = [f"uploads/{IMAGE}/{run}-{number}" for number in range(2)]
    events = [eventbridge_event("inbox", *lab.upload(key, picture())) for key in keys]
    deliveries = Counter[str]()

    def attempt() -> str:
        deliveries["all"] += 1
        messages = (message(event, f"m{number}", deliveries["all"]) for number, event in enumerate(events))
        answer = image.handler(sqs_event(*messages), CONTEXT)
        failed = len(answer["batchItemFailures"])
        return f"{failed} of 2 to come again" if failed else "answered"

    return attempt, lambda: [_one_result(lab, key) for key in keys] and None


def last_delivery(lab: Lab, run: str) -> tuple[Attempt, Callable[[], None]]:
    """What fails now is a dead letter, by us or, named as failed, by SQS."""
    key = f"uploads/{TEXT}/{run}"
    event = eventbridge_event("inbox", *lab.upload(key, b"good"))
    ends: list[str] = []

    def attempt() -> str:
        before = len(ends)
        answer = text.handler(sqs_event(message(event, "m", 3 + before)), CONTEXT)
        letters = lab.dead()
        assert all(json.loads(letter) == event for letter in letters)
        results = lab.results(key)
        assert set(results.values()) <= {1}
        if answer["batchItemFailures"]:
            ends.append("to SQS")
        elif letters:
            ends.append("dead letter")
        else:
            assert len(results) == 2
            ends.append("answered")
        return ends[-1]

    return attempt, lambda: None


def poison(lab: Lab, run: str) -> tuple[Attempt, Callable[[], None]]:
    """Of an upload whose id somebody has: the reason is among the dead letters, and where the result would be."""
    key = f"uploads/{IMAGE}/u{md5(run.encode(), usedforsecurity=False).hexdigest()}"
    event = eventbridge_event("inbox", *lab.upload(key, b"no picture"))
    seen: list[str] = []

    def attempt() -> str:
        answer = image.handler(sqs_event(message(event)), CONTEXT)
        seen.extend(lab.dead())
        assert answer["batchItemFailures"] or seen, "neither a dead letter nor to come again"
        return "to come again" if answer["batchItemFailures"] else "dead letter"

    def law() -> None:
        assert {json.dumps(json.loads(letter)) for letter in seen} == {json.dumps(event)}
        assert lab.results(key).keys() == {f"results/{key}.json.failed"}

    return attempt, law


def batch(lab: Lab, run: str) -> tuple[Attempt, Callable[[], None]]:
    """Two pictures, and an object that is none, of a Distributed Map, which hands over again what was raised."""
    name = md5(run.encode(), usedforsecurity=False).hexdigest()
    bodies = {"a": picture(), "b": b"no picture", "c": picture()}
    listed = [lab.upload(f"batch/{name}/{item}", body) for item, body in bodies.items()]
    items = [{"Key": key, "Etag": etag, "Size": size} for key, etag, size, _, _ in listed]
    event = {"batch": {"bucket": "inbox", "model": IMAGE, "run": name}, "Items": items}

    def attempt() -> str:
        try:
            answer = image.handler(event, CONTEXT)
        except BatchFailedError:
            return "raised, for the map to repeat"
        assert answer["done"] == 2
        assert [row["error_type"] for row in answer["failed"]] == ["unsupported_media"]
        return "answered"

    def law() -> None:
        written = lab.written(f"results/{name}/")
        assert set(written.values()) == {1}
        assert len(written) == 2

    return attempt, law


def uploads(lab: Lab, run: str) -> tuple[Attempt, Callable[[], None]]:
    wish = json.dumps({"model": TEXT, "content_type": "text/plain", "size": 4}).encode()
    return http(uploading.handler, rest_event("POST", "/uploads", wish), (201,)), lambda: None


def _ticket(lab: Lab) -> dict[str, Any]:
    plan, lab.proxy.plan = lab.proxy.plan, None
    wish = json.dumps({"model": TEXT, "content_type": "text/plain", "size": 4}).encode()
    ticket: dict[str, Any] = json.loads(uploading.handler(rest_event("POST", "/uploads", wish), CONTEXT)["body"])
    lab.proxy.plan = plan
    return ticket


def result(lab: Lab, run: str) -> tuple[Attempt, Callable[[], None]]:
    ticket = _ticket(lab)
    event = eventbridge_event("inbox", *lab.upload(ticket["key"], b"good"))
    text.handler(event, CONTEXT)
    return http(uploading.handler, rest_event("GET", f"/results/{ticket['id']}")), lambda: _one_result(
        lab, ticket["key"]
    )


def removal(lab: Lab, run: str) -> tuple[Attempt, Callable[[], None]]:
    ticket = _ticket(lab)
    event = eventbridge_event("inbox", *lab.upload(ticket["key"], b"good"))
    text.handler(event, CONTEXT)

    def law() -> None:
        assert lab.results(ticket["key"]) == {}
        assert not lab.s3.list_object_versions(Bucket="inbox", Prefix=ticket["key"]).get("Versions")

    return http(uploading.handler, rest_event("DELETE", f"/results/{ticket['id']}"), (204,)), law


def by_reference(lab: Lab, run: str) -> tuple[Attempt, Callable[[], None]]:
    ticket = _ticket(lab)
    lab.upload(ticket["key"], b"good")
    body = json.dumps({"inputs": {"upload": ticket["id"]}}).encode()
    # To who may not list a bucket, S3 refuses what is not there.
    return http(text.handler, rest_event("POST", f"/models/{TEXT}", body), also=(404, "not_found")), lambda: None


CASES = (
    of_request("text", text.handler, rest_event("POST", f"/models/{TEXT}", PRAISE)),
    of_request("image", image.handler, rest_event("POST", f"/models/{IMAGE}", picture())),
    of_request("catalog", catalog.handler, rest_event("GET", "/models")),
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
    """Every n. Raises AssertionError where something does not hold."""
    outcome, started = Outcome(), time.monotonic()
    for n in range(1, 200):
        lab.proxy.set(None)
        lab.fresh()
        attempt, law = case.begin(lab, f"{case.name} {fault} {n}")
        lab.fresh()
        lab.proxy.set(FAULTS[fault](n))
        end = attempt()
        spoiled = lab.proxy.spoiled
        if not spoiled:
            outcome.calls = len(lab.proxy.calls)
        lab.proxy.set(None)
        last = attempt()
        assert "answered" in last or "dead letter" in last, f"the next call after {end}: {last}"
        law()
        if not spoiled:
            assert end == last
            outcome.seconds = time.monotonic() - started
            return outcome
        outcome.ends[end] += 1
    raise AssertionError("a run never was without a fault")


def every(lab: Lab) -> Iterator[tuple[Case, str, Outcome]]:
    for case in CASES:
        for fault in FAULTS:
            yield case, fault, run(lab, case, fault)


def main() -> None:
    lines = [
        "| handler | calls | " + " | ".join(FAULTS) + " | seconds |",
        "|---|---:|" + "---|" * len(FAULTS) + "---:|",
    ]
    total = 0
    with lab() as built:
        for case in CASES:
            found = {fault: run(built, case, fault) for fault in FAULTS}
            total += sum(outcome.ends.total() for outcome in found.values())
            ends = [", ".join(f"{count} × {end}" for end, count in one.ends.items()) for one in found.values()]
            seconds = sum(outcome.seconds for outcome in found.values())
            lines.append(f"| {case.name} | {found['403'].calls} | {' | '.join(ends)} | {seconds:.1f} |")
            print(lines[-1], flush=True)
    about = (
        f"{total} runs in which one call, or all from one on, failed. Each next call was fine, and for events the law "
        "held each time: one result a version, or a dead letter. `reset` and `403` meet one call; after a `503` all "
        "that follow meet one too."
    )
    record("The n-th call fails", "python -m tests.faults.nth", "\n\n".join([about, "\n".join(lines)]))


if __name__ == "__main__":
    main()
