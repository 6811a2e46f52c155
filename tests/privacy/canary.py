"""A client's data must not appear in a log, a metric, a header, an error, a dead letter or a file.

    python -m tests.privacy.canary --requests 5000

fills every field of thousands of requests with unique strings, causes many failures, and searches all output for the
strings in every form (`needles`). The *names* that a client uses (models, fields, paths, objects) are metadata: an
error may repeat them to its own caller if they look like names, results and audit records use them for objects, and a
failure of the store in the log names the model; other log lines, metrics and headers may not have them. A second run,
in which `predict` leaks in each of the ways of `leaks`, must be detected in each channel.
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

CHANNELS_WITH_NAMES = ("errors", "dead letters")
"""Channels that may contain the caller's own names."""
OWNERS = "captured inputs"
"""What the owner of the service has switched on for a bucket of theirs; the only place where inputs may be."""
REASON = re.compile(rb'"reason":"(?:[^"\\]|\\.)*"')
"""The reason of an internal failure in the log, which may name the requested model (at most 63 lowercase letters)."""


@dataclass
class Leak:
    channel: str
    kind: str
    hit: Hit


@dataclass
class Run:
    requests: int
    channels: dict[str, int]
    """Number of searched bytes by channel."""
    leaks: list[Leak]
    statuses: dict[int, int]
    """Number of responses by status; storage events have none."""

    def leaking_channels(self) -> set[str]:
        return {leak.channel for leak in self.leaks}


def run(requests: int, seed: int, *, leaking: bool = False) -> Run:
    """Send requests in a child process and search its output. Raises AssertionError if the process fails."""
    with tempfile.TemporaryDirectory(prefix="hearth-canary-") as folder, moto_s3() as url:
        work = Path(folder)
        models.make_store(work / "store")
        for name in ("tmp", "cache", "home", "captured"):
            (work / name).mkdir()
        for bucket in ("uploads", "results"):
            client(url).create_bucket(Bucket=bucket)
        queue_url = create_queue(url)
        _run_child(work, url, queue_url, requests, seed, leaking=leaking)
        (work / "letters").write_bytes(b"\n".join(_receive(url, queue_url)))
        outputs = dict(channels(work))
        captured = b"".join(path.read_bytes() for path in (work / "captured").rglob("*.json"))
        assert search(captured, seed), "no input was captured"
        statuses = {int(status): count for status, count in json.loads((work / "statuses").read_text()).items()}
    assert statuses[200] > requests // 8, statuses
    leaks = [Leak(name, "value", hit) for name, data in outputs.items() for hit in search(data, seed)]
    for name, data in outputs.items():
        if name not in CHANNELS_WITH_NAMES:
            leaks += [Leak(name, "name", hit) for hit in search(REASON.sub(b"", data), seed + 1)]
    if outputs["temporary files"]:
        leaks.append(Leak("temporary files", "a file was written", Hit("?", outputs["temporary files"][:300].decode())))
    sizes = {name: len(data) for name, data in outputs.items()} | {OWNERS: len(captured)}
    return Run(requests, sizes, leaks, statuses)


def create_queue(url: str) -> str:
    """The URL of a new queue for dead letters."""
    return str(_sqs(url).create_queue(QueueName="dead-letters")["QueueUrl"])


def _sqs(url: str) -> Any:
    import boto3

    secrets = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return boto3.client("sqs", endpoint_url=url, region_name="us-east-1", **secrets)


def _receive(url: str, queue: str) -> Iterator[bytes]:
    """Yield each dead letter with its attributes."""
    options = {"QueueUrl": queue, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]}
    while messages := _sqs(url).receive_message(**options, VisibilityTimeout=600).get("Messages"):
        for message in messages:
            yield json.dumps([message["Body"], message.get("MessageAttributes")]).encode()


def _run_child(work: Path, url: str, queue_url: str, requests: int, seed: int, *, leaking: bool) -> None:
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HEARTH_DATA") if name in os.environ},
        **CREDENTIALS,
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_ENDPOINT_URL_SQS": url,
        "AWS_LAMBDA_FUNCTION_NAME": "canary",
        "HEARTH_AUDIT": (work / "audit.jsonl").as_uri(),
        "HEARTH_UPLOADS": "s3://uploads",
        "HEARTH_OUTPUT": "s3://results",
        "HEARTH_DEAD_LETTERS": queue_url,
        "HEARTH_DELIVERIES": "1",
        "HEARTH_LOG_LEVEL": "DEBUG",
        "HEARTH_WATCH": (work / "watch").as_uri(),
        "HEARTH_CAPTURE": (work / "captured").as_uri(),
        "HEARTH_CAPTURE_SHARE": "0.5",
        "HEARTH_ALIAS_SECONDS": "0",
        "HOME": str(work / "home"),
        "TMPDIR": str(work / "tmp"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "tests.privacy.child", str(work), str(seed), str(requests)]
    with (work / "stdout").open("wb") as out, (work / "stderr").open("wb") as err:
        process = subprocess.run(
            [*command, "leaking" if leaking else "tight"], cwd=ROOT, env=environment, stdout=out, stderr=err
        )
    errors = (work / "stderr").read_text(errors="replace")
    assert process.returncode == 0, errors[-4000:]


def channels(work: Path) -> Iterator[tuple[str, bytes]]:
    """The output to search, by name of the channel."""
    lines = (work / "stdout").read_bytes().splitlines(keepends=True)
    metrics = [line for line in lines if b'"_aws"' in line]
    logs = [line for line in lines if line.startswith(b"{") and b'"_aws"' not in line]
    yield "log lines", b"".join(logs)
    yield "metrics", b"".join(metrics)
    yield "stdout", b"".join(line for line in lines if not line.startswith(b"{"))
    yield "stderr", (work / "stderr").read_bytes()
    for name in ("records", "headers", "errors", "next", "traces"):
        yield (
            {"headers": "headers, Server-Timing", "next": "the next caller's response"}.get(name, name),
            (work / name).read_bytes(),
        )
    yield "audit", (work / "audit.jsonl").read_bytes() if (work / "audit.jsonl").exists() else b""
    yield "dead letters", (work / "letters").read_bytes()
    yield "temporary files", (work / "writes").read_bytes()
    for name in ("watch", "tmp", "cache", "home"):
        files = [str(path).encode() + b"\n" + path.read_bytes() for path in (work / name).rglob("*") if path.is_file()]
        yield {"watch": "sketches"}.get(name, f"{name} folder"), b"\n".join(files)


def table(tight: Run, leaking: Run) -> str:
    rows = ["| channel | bytes searched | canaries | leaking handler |", "|---|---|---|---|"]
    for name, size in tight.channels.items():
        hits = [sum(leak.channel == name for leak in run.leaks) for run in (tight, leaking)]
        cells = ("as it must be", "-") if name == OWNERS else (str(hits[0]), "detected" if hits[1] else "-")
        rows.append(f"| {name} | {size:,} | {cells[0]} | {cells[1]} |")
    return "\n".join(rows)


def counted(statuses: dict[int, int]) -> str:
    return ", ".join(f"{count} of {status}" for status, count in sorted(statuses.items()))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tight = run(options.requests, options.seed)
    for leak in tight.leaks:
        print(json.dumps([leak.channel, leak.kind, leak.hit.form, leak.hit.number, leak.hit.around]))
    leaking = run(max(400, options.requests // 10), options.seed + 10, leaking=True)
    summary = (
        f"{options.requests} requests and events; {len(tight.leaks)} canaries found; a leaking handler is detected in "
    )
    summary += f"{len(leaking.leaking_channels())} places.\n\n"
    record(
        "Privacy: canaries",
        f"python -m tests.privacy.canary --requests {options.requests}",
        summary + table(tight, leaking),
        seed=options.seed,
    )
    sys.exit(bool(tight.leaks))


if __name__ == "__main__":
    main()
