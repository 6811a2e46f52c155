"""Nothing that a client says may be seen in a log, a metric, a header, an error, a dead letter or a file.

    python -m tests.privacy.canary --requests 5000

fills every field of thousands of requests with unique strings, lets much go wrong, and searches all that is left for
them in every form (`needles`). What a client *calls* things (models, fields, paths, objects) is metadata: an error may
tell it back to its own caller if it looks like a name, results and audit records name objects by it, and a failure of
the store in the log names the model; other log lines, metrics and headers may not. A second run, in which `predict`
leaks in each of the ways of `leaks`, must be caught in each channel.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hostile import models
from tests.privacy.needles import Hit, search
from tests.support import ROOT
from tests.support.record import record
from tests.support.s3 import CREDENTIALS, client, moto_s3

NAMED = ("errors", "dead letters")
"""Channels in which the caller's own names for things may be told back."""
REASON = re.compile(rb'"reason":"(?:[^"\\]|\\.)*"')
"""Of a failure that is ours, in the log: it may name the model that was asked for (63 small letters at most)."""


@dataclass
class Found:
    channel: str
    what: str
    hit: Hit


@dataclass
class Run:
    requests: int
    channels: dict[str, int]
    """Bytes that were searched."""
    found: list[Found]
    statuses: dict[int, int]
    """How many answers had each; storage events have none."""

    def caught(self) -> set[str]:
        return {found.channel for found in self.found}


def run(requests: int, seed: int, *, leaking: bool = False) -> Run:
    """Ask in a process of its own and search what it left. Raises AssertionError where it did not end well."""
    with tempfile.TemporaryDirectory(prefix="hearth-canary-") as folder, moto_s3() as url:
        work = Path(folder)
        models.make_store(work / "store")
        for name in ("tmp", "cache", "home"):
            (work / name).mkdir()
        for bucket in ("uploads", "results"):
            client(url).create_bucket(Bucket=bucket)
        letters = queue(url)
        _ask(work, url, letters, requests, seed, leaking=leaking)
        (work / "letters").write_bytes(b"\n".join(_received(url, letters)))
        kept = dict(channels(work))
        statuses = {int(status): count for status, count in json.loads((work / "statuses").read_text()).items()}
    assert statuses[200] > requests // 8, statuses
    found = [Found(name, "value", hit) for name, data in kept.items() for hit in search(data, seed)]
    for name, data in kept.items():
        if name not in NAMED:
            found += [Found(name, "name", hit) for hit in search(REASON.sub(b"", data), seed + 1)]
    if kept["temporary files"]:
        found.append(Found("temporary files", "a file was written", Hit("?", kept["temporary files"][:300].decode())))
    return Run(requests, {name: len(data) for name, data in kept.items()}, found, statuses)


def queue(url: str) -> str:
    """The URL of a new queue for dead letters."""
    return str(_sqs(url).create_queue(QueueName="dead-letters")["QueueUrl"])


def _sqs(url: str) -> Any:
    import boto3

    secrets = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return boto3.client("sqs", endpoint_url=url, region_name="us-east-1", **secrets)


def _received(url: str, queue: str) -> Iterator[bytes]:
    """Each letter with its attributes."""
    asked = {"QueueUrl": queue, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]}
    while messages := _sqs(url).receive_message(**asked, VisibilityTimeout=600).get("Messages"):
        for message in messages:
            yield json.dumps([message["Body"], message.get("MessageAttributes")]).encode()


def _ask(work: Path, url: str, letters: str, requests: int, seed: int, *, leaking: bool) -> None:
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HEARTH_DATA") if name in os.environ},
        **CREDENTIALS,
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_ENDPOINT_URL_SQS": url,
        "AWS_LAMBDA_FUNCTION_NAME": "canary",
        "HEARTH_AUDIT": (work / "audit.jsonl").as_uri(),
        "HEARTH_UPLOADS": "s3://uploads",
        "HEARTH_OUTPUT": "s3://results",
        "HEARTH_DEAD_LETTERS": letters,
        "HEARTH_DELIVERIES": "1",
        "HEARTH_LOG_LEVEL": "DEBUG",
        "HEARTH_ALIAS_SECONDS": "0",
        "HOME": str(work / "home"),
        "TMPDIR": str(work / "tmp"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "tests.privacy.child", str(work), str(seed), str(requests)]
    with (work / "stdout").open("wb") as out, (work / "stderr").open("wb") as err:
        done = subprocess.run(
            [*command, "leaking" if leaking else "tight"], cwd=ROOT, env=environment, stdout=out, stderr=err
        )
    said = (work / "stderr").read_text(errors="replace")
    assert done.returncode == 0, said[-4000:]


def channels(work: Path) -> Iterator[tuple[str, bytes]]:
    """What is to be searched, by name."""
    lines = (work / "stdout").read_bytes().splitlines(keepends=True)
    metrics = [line for line in lines if b'"_aws"' in line]
    logs = [line for line in lines if line.startswith(b"{") and b'"_aws"' not in line]
    yield "log lines", b"".join(logs)
    yield "metrics", b"".join(metrics)
    yield "stdout", b"".join(line for line in lines if not line.startswith(b"{"))
    yield "stderr", (work / "stderr").read_bytes()
    for name in ("records", "headers", "errors", "next"):
        yield (
            {"headers": "headers, Server-Timing", "next": "the next caller's answer"}.get(name, name),
            (work / name).read_bytes(),
        )
    yield "audit", (work / "audit.jsonl").read_bytes() if (work / "audit.jsonl").exists() else b""
    yield "dead letters", (work / "letters").read_bytes()
    yield "temporary files", (work / "writes").read_bytes()
    for name in ("tmp", "cache", "home"):
        parts = [str(path).encode() + b"\n" + path.read_bytes() for path in (work / name).rglob("*") if path.is_file()]
        yield f"{name} folder", b"\n".join(parts)


def table(tight: Run, leaking: Run) -> str:
    rows = ["| where | bytes searched | canaries | of a leaking handler |", "|---|---|---|---|"]
    for name, size in tight.channels.items():
        hits = [sum(found.channel == name for found in run.found) for run in (tight, leaking)]
        rows.append(f"| {name} | {size:,} | {hits[0]} | {'caught' if hits[1] else '-'} |")
    return "\n".join(rows)


def counted(statuses: dict[int, int]) -> str:
    return ", ".join(f"{count} of {status}" for status, count in sorted(statuses.items()))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    tight = run(given.requests, given.seed)
    for found in tight.found:
        print(json.dumps([found.channel, found.what, found.hit.form, found.hit.number, found.hit.around]))
    leaking = run(max(400, given.requests // 10), given.seed + 10, leaking=True)
    words = (
        f"{given.requests} requests and events; {len(tight.found)} canaries found; a handler that leaks is caught in "
    )
    words += f"{len(leaking.caught())} places.\n\n"
    record(
        "Privacy: canaries",
        f"python -m tests.privacy.canary --requests {given.requests}",
        words + table(tight, leaking),
        seed=given.seed,
    )
    sys.exit(bool(tight.found))


if __name__ == "__main__":
    main()
