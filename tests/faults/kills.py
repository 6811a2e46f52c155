"""Uploads on the local AWS while the workers that answer them are killed: `python -m tests.faults.kills [UPLOADS]`.

The law: each upload ends in exactly one result, or its message among the dead letters; nothing else appears.
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

MODEL, FUNCTION = "resnet20-cifar10", "ImageClassification"
POISON = 25
"""One upload of so many is no picture."""
SECONDS = 540
"""For the queue to become empty."""


@dataclass
class Outcome:
    uploads: int = 0
    kills: int = 0
    seconds: float = 0
    results: dict[str, int] = field(default_factory=dict)
    """How often the result of each key was written."""
    dead: set[str] = field(default_factory=set)
    keys: dict[str, bool] = field(default_factory=dict)
    """Whether an upload is poison."""

    def broken(self) -> list[str]:
        """What is against the law, a sentence each."""
        said = [f"{key} has neither result nor dead letter" for key in self.keys if not self._ended(key)]
        said += [f"{key} was answered {count} times" for key, count in self.results.items() if count > 1]
        said += [f"{key} was never uploaded" for key in self.results.keys() | self.dead if key not in self.keys]
        return said + [f"{key} is no picture, and has a result" for key in self.results if self.keys.get(key)]

    def _ended(self, key: str) -> bool:
        return key in self.results or key in self.dead


def survive(stack: Stack, uploads: int, seed: int, hidden: int = 8) -> Outcome:
    """Put `uploads` objects while workers are killed at random times, and wait until the queue is empty.

    A killed worker's messages come again after `hidden` seconds; the 180 of production would be too long to wait for.
    """
    chance, outcome, started = random.Random(seed), Outcome(uploads), time.monotonic()
    sqs, s3 = stack.aws.client("sqs"), stack.aws.client("s3")
    queue, letters = (stack.resources[f"{FUNCTION}{kind}"] for kind in ("Queue", "DeadLetters"))
    sqs.purge_queue(QueueUrl=letters)
    before = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout"])["Attributes"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": str(hidden)})
    prefix = f"uploads/{MODEL}/kills-{seed}-"
    try:
        with killing(stack, chance, outcome):
            for number in range(uploads):
                key = f"{prefix}{number}.png"
                outcome.keys[key] = number % POISON == POISON - 1
                body = b"no picture" if outcome.keys[key] else picture(chance)
                s3.put_object(Bucket=stack.outputs["UploadBucketName"], Key=key, Body=body)
            # The rest is done in peace: else a message might be the victim each time.
            time.sleep(hidden + min(60, uploads / 10))
        wait_until_empty(stack, queue)
    finally:
        sqs.set_queue_attributes(QueueUrl=queue, Attributes=before)
    outcome.seconds = time.monotonic() - started
    outcome.results = written(stack, prefix)
    outcome.dead = {key for key in dead_letters(stack, letters) if key.startswith(prefix)}
    return outcome


@contextmanager
def killing(stack: Stack, chance: random.Random, outcome: Outcome) -> Iterator[None]:
    """SIGKILL for one worker of the function after the other, as long as the block lasts."""
    ended = threading.Event()

    def kill() -> None:
        while not ended.wait(chance.uniform(0.2, 1.5)):
            found = workers(stack)
            if found:
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(found), signal.SIGKILL)
                    outcome.kills += 1

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def workers(stack: Stack) -> list[int]:
    """Processes of ministack that run the function."""
    name, folder = f"ministack-lambda-hearth-{FUNCTION}-".encode(), str(stack.aws.certificate.parent).encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            command = path.read_bytes()
            if name in command and folder in command:
                found.append(int(path.parent.name))
    return found


def picture(chance: random.Random) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (40, 30), tuple(chance.randrange(256) for _ in range(3))).save(data, "PNG")
    return data.getvalue()


def wait_until_empty(stack: Stack, queue: str) -> None:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    quiet, deadline = 0, time.monotonic() + SECONDS
    while quiet < 10:  # an event may still be on its way
        if time.monotonic() > deadline:
            raise TimeoutError(f"the queue is not empty after {SECONDS} s")
        found = stack.aws.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
        quiet = 0 if any(int(count) for count in found.values()) else quiet + 1
        time.sleep(0.5)


def written(stack: Stack, prefix: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    pages = stack.aws.client("s3").get_paginator("list_object_versions")
    for page in pages.paginate(Bucket=stack.outputs["ResultBucketName"], Prefix=f"results/{prefix}"):
        for version in page.get("Versions", ()):
            key = version["Key"].removeprefix("results/").removesuffix(".json")
            counts[key] = counts.get(key, 0) + 1
    return counts


def dead_letters(stack: Stack, letters: str) -> set[str]:
    sqs, keys = stack.aws.client("sqs"), set()
    while found := sqs.receive_message(QueueUrl=letters, MaxNumberOfMessages=10).get("Messages"):
        for message in found:
            keys.add(json.loads(message["Body"])["detail"]["object"]["key"])
            sqs.delete_message(QueueUrl=letters, ReceiptHandle=message["ReceiptHandle"])
    return keys


def table(outcome: Outcome) -> str:
    poison, broken = sum(outcome.keys.values()), outcome.broken()
    alive = [key for key in outcome.dead if not outcome.keys[key]]
    both = sum(key in outcome.results for key in alive)
    said = [
        f"{outcome.uploads} uploads, {poison} of them no pictures; {outcome.kills} workers were killed with SIGKILL.",
        f"{len(outcome.results)} results, each written once; {len(outcome.dead)} dead letters. {len(alive)} of these",
        f"are of good pictures, whose workers were killed or too slow each time; {both} of them have a result too.",
        f"{outcome.seconds:.0f} s. **{len(broken)} broke the law.**",
    ]
    return "\n".join(said + [""] * bool(broken) + [f"- {sentence}" for sentence in broken[:20]])


def main(uploads: int, seed: int = 1) -> int:
    from tests.template.conftest import publish
    from tests.template.local_stack import deploy, local_aws

    with tempfile.TemporaryDirectory() as scratch, local_aws(Path(scratch)) as aws:
        stack = deploy(aws)
        publish(stack, Path(scratch) / "store")
        outcome = survive(stack, uploads, seed, hidden=20)
    record("Uploads under SIGKILL", f"python -m tests.faults.kills {uploads}", table(outcome), seed=seed)
    return bool(outcome.broken())


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 1000))
