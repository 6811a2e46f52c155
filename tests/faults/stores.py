"""Faults of what the store holds, and of what it lets us do."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from hearth.async_inference.storage_events import EventFailedError
from hearth.models.manifest import SIGNATURE
from hearth_functions.text_classification import app as text
from tests.faults.lab import CONTEXT, TEXT, Lab, variables
from tests.faults.networks import ALIASES, STORE, WEIGHTS, WRONG
from tests.faults.proxy import Fault
from tests.faults.rows import Row, ask, row, spoiled
from tests.support.storage import eventbridge_event, message, sqs_event

ARTIFACT = f"models/{TEXT}/1"
OUTBOX = "/outbox/"


@contextmanager
def holding(place: Lab, name: str, data: bytes | None) -> Iterator[None]:
    """The artifact's file has other bytes, or is gone."""
    key = f"{ARTIFACT}/{name}"
    former = place.s3.get_object(Bucket="artifacts", Key=key)["Body"].read()
    if data is None:
        place.s3.delete_object(Bucket="artifacts", Key=key)
    else:
        place.s3.put_object(Bucket="artifacts", Key=key, Body=data)
    try:
        yield
    finally:
        place.s3.put_object(Bucket="artifacts", Key=key, Body=former)


def file(place: Lab, name: str) -> bytes:
    data: bytes = place.s3.get_object(Bucket="artifacts", Key=f"{ARTIFACT}/{name}")["Body"].read()
    return data


def under_load(place: Lab) -> str:
    """Twenty fresh starts while the weights are swapped to and fro: what came of them, without how often."""
    right, stop = file(place, WEIGHTS), threading.Event()
    wrong = bytes(reversed(right))

    def swap() -> None:
        while not stop.is_set():
            for data in (wrong, right):
                place.s3.put_object(Bucket="artifacts", Key=f"{ARTIFACT}/{WEIGHTS}", Body=data)

    with ThreadPoolExecutor(1) as pool:
        swapping = pool.submit(swap)
        try:
            seen = set()
            for _ in range(20):
                place.fresh()
                seen.add(ask(place))
        finally:
            stop.set()
        swapping.result()
    return " and ".join(sorted(seen))


def event(place: Lab, body: bytes = b"good") -> str:
    """An upload's event, delivered until nothing is left to do: results, and what came before."""
    key = f"uploads/{TEXT}/{uuid.uuid4().hex}"
    told = eventbridge_event("inbox", *place.upload(key, body))
    ends: list[str] = []
    for _ in range(2):
        try:
            text.handler(told, CONTEXT)
            ends.append("answered")
            break
        except EventFailedError:
            ends.append("raised")
    written = place.results(key)
    counts = "one result" if len(written) == 2 and set(written.values()) == {1} else f"results {written}"
    return f"{', '.join(ends)}, {counts}"


def letter(place: Lab) -> str:
    """A message that is no event."""
    answer: dict[str, Any] = text.handler(sqs_event(message("5")), CONTEXT)
    return "to come again" if answer["batchItemFailures"] else f"{len(place.dead())} dead letter"


def rows(place: Lab) -> Iterator[Row]:
    yield spoiled("403 AccessDenied", WEIGHTS, Fault("status", 403), STORE)
    yield spoiled("403 for aliases", ALIASES, Fault("status", 403), STORE)
    yield spoiled("404 for weights", WEIGHTS, Fault("status", 404), (STORE, WRONG))
    yield spoiled("404 for aliases", ALIASES, Fault("status", 404), "404 not_found")
    denied = Fault("status", 403, "KMS.AccessDeniedException")
    yield spoiled("KMS denies the key", WEIGHTS, denied, STORE)
    yield spoiled("KMS: the key is disabled", WEIGHTS, Fault("status", 400, "KMS.DisabledException"), STORE)
    yield spoiled("KMS throttles, once", WEIGHTS, Fault("status", 400, "KMS.ThrottlingException"), "200", 1)
    weights = file(place, WEIGHTS)
    yield row("a file is gone", WEIGHTS, (STORE, WRONG), lambda place: holding(place, WEIGHTS, None))
    yield row("truncated", WEIGHTS, (STORE, WRONG), lambda place: holding(place, WEIGHTS, weights[:-1000]))
    yield row("longer", WEIGHTS, (STORE, WRONG), lambda place: holding(place, WEIGHTS, weights + b"x"))
    yield row("of another model", WEIGHTS, WRONG, lambda place: holding(place, WEIGHTS, weights[::-1]))
    both = ("200", WRONG, f"200 and {WRONG}")
    yield row("swapped under load", WEIGHTS, both, lambda place: holding(place, WEIGHTS, weights), under_load)
    manifest = "manifest.json"
    yield row("no JSON", manifest, "500 manifest_error", lambda place: holding(place, manifest, b"{"))
    other = json.dumps(json.loads(file(place, manifest)) | {"version": "2"}).encode()
    yield row("of another version", manifest, "500 manifest_error", lambda place: holding(place, manifest, other))
    yield row("not signed, where keys are set", manifest, WRONG, lambda place: _signed(place, None))
    forged = b'{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"}'
    yield row("a signature that is none", "the signature", WRONG, lambda place: _signed(place, forged))
    fine = "answered, one result"
    yield spoiled("412 for the result, once", OUTBOX, Fault("status", 412), f"raised, {fine}", 1, event)
    yield spoiled("the result's acknowledgement lost", OUTBOX, Fault("lost"), fine, 3, event)
    yield spoiled("403 for the result, once", OUTBOX, Fault("status", 403), f"raised, {fine}", 1, event)
    queue = "/"
    yield spoiled("403 of the dead-letter queue", queue, Fault("status", 403), "to come again", attempt=letter)
    yield spoiled("503 of the dead-letter queue, twice", queue, Fault("status", 503), "1 dead letter", 2, letter)


PUBLIC = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7
Yfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==
-----END PUBLIC KEY-----
"""
"""Of RFC 6979, appendix A.2.5; nothing here is signed with it."""


@contextmanager
def _signed(place: Lab, signature: bytes | None) -> Iterator[None]:
    """Signatures are wanted, and this is there, if any."""
    key, keys = f"{ARTIFACT}/{SIGNATURE}", place.scratch / "keys"
    keys.mkdir(exist_ok=True)
    (keys / "ours.pem").write_text(PUBLIC)
    if signature is not None:
        place.s3.put_object(Bucket="artifacts", Key=key, Body=signature)
    try:
        with variables(place, HEARTH_VERIFY_KEYS=str(keys)):
            yield
    finally:
        place.s3.delete_object(Bucket="artifacts", Key=key)
