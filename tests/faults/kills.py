"""Uploads on the local AWS while their workers are killed: `python -m tests.faults.kills [UPLOADS]`.

The invariant: each upload ends in exactly one result or dead letter, and nothing else appears.
"""

from __future__ import annotations

import io
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from tests.support.record import record
from tests.template.local_stack import Stack

MODEL, FUNCTION = "resnet20-cifar10", "Jobs"
POISON = 25
"""One upload in this many is not a picture."""
TIMEOUT = 540
"""Seconds that the queue may take to become empty."""


@dataclass
class Outcome:
    uploads: int = 0
    kills: int = 0
    seconds: float = 0
    results: dict[str, int] = field(default_factory=dict)
    """Number of writes of the result of each key."""
    dead: set[str] = field(default_factory=set)
    keys: dict[str, bool] = field(default_factory=dict)
    """Whether each upload is poison, by key."""

    def violations(self) -> list[str]:
        """Sentences that describe violations of the invariant."""
        messages = [f"{key} has neither result nor dead letter" for key in self.keys if not self._has_ended(key)]
        messages += [f"{key} has {count} results" for key, count in self.results.items() if count > 1]
        messages += [f"{key} was never uploaded" for key in self.results.keys() | self.dead if key not in self.keys]
        return messages + [f"{key} is not a picture but has a result" for key in self.results if self.keys.get(key)]

    def _has_ended(self, key: str) -> bool:
        return key in self.results or key in self.dead


def survive(stack: Stack, uploads: int, seed: int, visibility_timeout: int = 8) -> Outcome:
    """Put `uploads` objects while workers are killed at random times, and wait until the queue is empty.

    SQS redelivers a killed worker's messages after `visibility_timeout` seconds; the 5400 of production would take too
    long.
    """
    rng, outcome, started = random.Random(seed), Outcome(uploads), time.monotonic()
    sqs, s3 = stack.aws.client("sqs"), stack.aws.client("s3")
    queue, dead_letter_queue = (stack.resources[name] for name in ("Queue", "DeadLetters"))
    sqs.purge_queue(QueueUrl=dead_letter_queue)
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout"])["Attributes"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": str(visibility_timeout)})
    prefix = f"uploads/{MODEL}/kills-{seed}-"
    try:
        with kill_workers(stack, rng, outcome):
            for number in range(uploads):
                key = f"{prefix}{number}.png"
                outcome.keys[key] = number % POISON == POISON - 1
                body = b"no picture" if outcome.keys[key] else picture(rng)
                s3.put_object(Bucket=stack.outputs["UploadBucketName"], Key=key, Body=body)
            # Stop killing before the queue is empty: otherwise, a message could lose its worker on every delivery.
            time.sleep(visibility_timeout + min(60, uploads / 10))
        wait_until_empty(stack, queue)
    finally:
        sqs.set_queue_attributes(QueueUrl=queue, Attributes=attributes)
    outcome.seconds = time.monotonic() - started
    outcome.results = count_results(stack, prefix)
    outcome.dead = {key for key in dead_letters(stack, dead_letter_queue) if key.startswith(prefix)}
    return outcome


@contextmanager
def kill_workers(stack: Stack, rng: random.Random, outcome: Outcome) -> Iterator[None]:
    """Kill workers of the function with SIGKILL at random times within the block."""
    ended = threading.Event()

    def kill() -> None:
        while not ended.wait(rng.uniform(0.2, 1.5)):
            processes = workers(stack)
            if processes:
                with suppress(ProcessLookupError):
                    os.kill(rng.choice(processes), signal.SIGKILL)
                    outcome.kills += 1

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def workers(stack: Stack) -> list[int]:
    """Ids of ministack's processes that run the function."""
    name, folder = f"ministack-lambda-hearth-{FUNCTION}-".encode(), str(stack.aws.certificate.parent).encode()
    processes = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            command = path.read_bytes()
            if name in command and folder in command:
                processes.append(int(path.parent.name))
    return processes


def picture(rng: random.Random) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), tuple(rng.randrange(256) for _ in range(3))).save(file, "PNG")
    return file.getvalue()


def wait_until_empty(stack: Stack, queue: str) -> None:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    empty_polls, deadline = 0, time.monotonic() + TIMEOUT
    while empty_polls < 10:  # an event may still be in transit
        if time.monotonic() > deadline:
            raise TimeoutError(f"the queue is not empty after {TIMEOUT} s")
        attributes = stack.aws.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
        empty_polls = 0 if any(int(count) for count in attributes.values()) else empty_polls + 1
        time.sleep(0.5)


def count_results(stack: Stack, prefix: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    pages = stack.aws.client("s3").get_paginator("list_object_versions")
    for page in pages.paginate(Bucket=stack.outputs["ResultBucketName"], Prefix=f"results/{prefix}"):
        for version in page.get("Versions", ()):
            key = version["Key"].removeprefix("results/").removesuffix(".json")
            counts[key] = counts.get(key, 0) + 1
    return counts


def dead_letters(stack: Stack, dead_letter_queue: str) -> set[str]:
    sqs, keys = stack.aws.client("sqs"), set()
    while messages := sqs.receive_message(QueueUrl=dead_letter_queue, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            keys.add(json.loads(message["Body"])["detail"]["object"]["key"])
            sqs.delete_message(QueueUrl=dead_letter_queue, ReceiptHandle=message["ReceiptHandle"])
    return keys


def table(outcome: Outcome) -> str:
    poison, violations = sum(outcome.keys.values()), outcome.violations()
    good = [key for key in outcome.dead if not outcome.keys[key]]
    with_result = sum(key in outcome.results for key in good)
    lines = [
        f"{outcome.uploads} uploads, {poison} of them not pictures; {outcome.kills} workers were killed with SIGKILL.",
        f"{len(outcome.results)} results, each written once; {len(outcome.dead)} dead letters. {len(good)} of these",
        f"are of good pictures, with workers that were always killed or too slow; {with_result} also have a result.",
        f"{outcome.seconds:.0f} s. **{len(violations)} violated the invariant.**",
    ]
    if violations:
        lines += ["", *(f"- {violation}" for violation in violations[:20])]
    return "\n".join(lines)


def main(uploads: int, seed: int = 1) -> int:
    from tests.template.conftest import publish
    from tests.template.local_stack import deploy, local_aws

    with tempfile.TemporaryDirectory() as scratch, local_aws(Path(scratch)) as aws:
        stack = deploy(aws)
        publish(stack, Path(scratch) / "store")
        outcome = survive(stack, uploads, seed, visibility_timeout=20)
    record("Uploads under SIGKILL", f"python -m tests.faults.kills {uploads}", table(outcome), seed=seed)
    return bool(outcome.violations())


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 1000))
