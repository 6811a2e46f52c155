"""Faults of the store's content and permissions."""

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
from tests.faults.networks import ALIASES, INTEGRITY_ERROR, STORE_ERROR, WEIGHTS
from tests.faults.proxy import Fault
from tests.faults.rows import Row, call_text_model, proxy_fault, row
from tests.support.storage import eventbridge_event, message, sqs_event

ARTIFACT = f"models/{TEXT}/1"
OUTBOX = "/outbox/"


@contextmanager
def replace_file(lab: Lab, name: str, data: bytes | None) -> Iterator[None]:
    """Replace a file of the artifact within the block, or delete it if `data` is None."""
    key = f"{ARTIFACT}/{name}"
    original = lab.s3.get_object(Bucket="artifacts", Key=key)["Body"].read()
    if data is None:
        lab.s3.delete_object(Bucket="artifacts", Key=key)
    else:
        lab.s3.put_object(Bucket="artifacts", Key=key, Body=data)
    try:
        yield
    finally:
        lab.s3.put_object(Bucket="artifacts", Key=key, Body=original)


def read_file(lab: Lab, name: str) -> bytes:
    data: bytes = lab.s3.get_object(Bucket="artifacts", Key=f"{ARTIFACT}/{name}")["Body"].read()
    return data


def under_load(lab: Lab) -> str:
    """Restart twenty times while the weights alternate between good and bad; return the distinct outcomes."""
    good, stop = read_file(lab, WEIGHTS), threading.Event()
    bad = bytes(reversed(good))

    def swap() -> None:
        while not stop.is_set():
            for data in (bad, good):
                lab.s3.put_object(Bucket="artifacts", Key=f"{ARTIFACT}/{WEIGHTS}", Body=data)

    with ThreadPoolExecutor(1) as pool:
        swaps = pool.submit(swap)
        try:
            outcomes = set()
            for _ in range(20):
                lab.reset()
                outcomes.add(call_text_model(lab))
        finally:
            stop.set()
        swaps.result()
    return " and ".join(sorted(outcomes))


def deliver_upload(lab: Lab, body: bytes = b"good") -> str:
    """Deliver an upload's event until it succeeds, twice at most; return the outcomes and the number of results."""
    key = f"uploads/{TEXT}/{uuid.uuid4().hex}"
    upload_event = eventbridge_event("inbox", *lab.upload(key, body))
    outcomes: list[str] = []
    for _ in range(2):
        try:
            text.handler(upload_event, CONTEXT)
            outcomes.append("answered")
            break
        except EventFailedError:
            outcomes.append("raised")
    result_writes = lab.result_counts(key)
    counts = (
        "one result" if len(result_writes) == 2 and set(result_writes.values()) == {1} else f"results {result_writes}"
    )
    return f"{', '.join(outcomes)}, {counts}"


def deliver_poison(lab: Lab) -> str:
    """Deliver a message that is not an event."""
    response: dict[str, Any] = text.handler(sqs_event(message("5")), CONTEXT)
    return "to redeliver" if response["batchItemFailures"] else f"{len(lab.take_dead_letters())} dead letter"


def rows(lab: Lab) -> Iterator[Row]:
    yield proxy_fault("403 AccessDenied", WEIGHTS, Fault("status", 403), STORE_ERROR)
    yield proxy_fault("403 for aliases", ALIASES, Fault("status", 403), STORE_ERROR)
    yield proxy_fault("404 for weights", WEIGHTS, Fault("status", 404), (STORE_ERROR, INTEGRITY_ERROR))
    yield proxy_fault("404 for aliases", ALIASES, Fault("status", 404), "404 not_found")
    denied = Fault("status", 403, "KMS.AccessDeniedException")
    yield proxy_fault("KMS denies the key", WEIGHTS, denied, STORE_ERROR)
    yield proxy_fault("KMS: the key is disabled", WEIGHTS, Fault("status", 400, "KMS.DisabledException"), STORE_ERROR)
    yield proxy_fault("KMS throttles, once", WEIGHTS, Fault("status", 400, "KMS.ThrottlingException"), "200", 1)
    weights = read_file(lab, WEIGHTS)
    yield row("missing file", WEIGHTS, (STORE_ERROR, INTEGRITY_ERROR), lambda lab: replace_file(lab, WEIGHTS, None))
    yield row(
        "truncated", WEIGHTS, (STORE_ERROR, INTEGRITY_ERROR), lambda lab: replace_file(lab, WEIGHTS, weights[:-1000])
    )
    yield row("longer", WEIGHTS, (STORE_ERROR, INTEGRITY_ERROR), lambda lab: replace_file(lab, WEIGHTS, weights + b"x"))
    yield row(
        "weights of another model", WEIGHTS, INTEGRITY_ERROR, lambda lab: replace_file(lab, WEIGHTS, weights[::-1])
    )
    either = ("200", INTEGRITY_ERROR, f"200 and {INTEGRITY_ERROR}")
    yield row("swapped under load", WEIGHTS, either, lambda lab: replace_file(lab, WEIGHTS, weights), under_load)
    manifest = "manifest.json"
    yield row("not JSON", manifest, "500 manifest_error", lambda lab: replace_file(lab, manifest, b"{"))
    other = json.dumps(json.loads(read_file(lab, manifest)) | {"version": "2"}).encode()
    yield row(
        "manifest of another version", manifest, "500 manifest_error", lambda lab: replace_file(lab, manifest, other)
    )
    yield row("unsigned although keys are set", manifest, INTEGRITY_ERROR, lambda lab: _require_signature(lab, None))
    forged = b'{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"}'
    yield row("an invalid signature", "the signature", INTEGRITY_ERROR, lambda lab: _require_signature(lab, forged))
    success = "answered, one result"
    yield proxy_fault("412 for the result, once", OUTBOX, Fault("status", 412), f"raised, {success}", 1, deliver_upload)
    yield proxy_fault("the result's acknowledgement lost", OUTBOX, Fault("lost"), success, 3, deliver_upload)
    yield proxy_fault("403 for the result, once", OUTBOX, Fault("status", 403), f"raised, {success}", 1, deliver_upload)
    queue = "/"
    yield proxy_fault(
        "403 of the dead-letter queue", queue, Fault("status", 403), "to redeliver", attempt=deliver_poison
    )
    yield proxy_fault(
        "503 of the dead-letter queue, twice", queue, Fault("status", 503), "1 dead letter", 2, deliver_poison
    )


PUBLIC = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7
Yfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==
-----END PUBLIC KEY-----
"""
"""Key of RFC 6979, appendix A.2.5; none of our artifacts is signed with it."""


@contextmanager
def _require_signature(lab: Lab, signature: bytes | None) -> Iterator[None]:
    """Require signatures, and store `signature` as the artifact's if given."""
    key, keys = f"{ARTIFACT}/{SIGNATURE}", lab.scratch / "keys"
    keys.mkdir(exist_ok=True)
    (keys / "ours.pem").write_text(PUBLIC)
    if signature is not None:
        lab.s3.put_object(Bucket="artifacts", Key=key, Body=signature)
    try:
        with variables(lab, HEARTH_VERIFY_KEYS=str(keys)):
            yield
    finally:
        lab.s3.delete_object(Bucket="artifacts", Key=key)
