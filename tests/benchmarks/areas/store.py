"""Bytes from the store: the 111 MB of an artifact from a local S3 to the disk.

Hearth checks them against their SHA-256 as they arrive.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.area import ROOT, Case, Turn, Way
from tests.benchmarks.areas.cold import server
from tests.benchmarks.bert import MODEL, bucket
from tests.benchmarks.worker import worker
from tests.support.s3 import CREDENTIALS

PREFIX = f"{MODEL}/1"
ENGINES = ROOT / "tests/benchmarks/engines"
PLAIN = "boto3 download_file"


def cases(work: Path) -> Sequence[Case]:
    files = sorted(path.name for path in (bucket() / "bucket" / PREFIX).iterdir() if path.name != "manifest.json")
    boto3 = [sys.executable, ENGINES / "store_boto3.py", PREFIX]
    ways = [
        way("Hearth, SHA-256 included", [sys.executable, "-m", "tests.benchmarks.engines.store_hearth", PREFIX]),
        way(PLAIN, [*boto3, "bare", *files]),
        way(f"{PLAIN}, then SHA-256", [*boto3, "hashed", *files]),
    ]
    return [Case("an artifact of 111 MB", ways, PLAIN, 2.2, speedup=True, limit="2.45 without a hash")]


def way(name: str, command: Sequence[str | Path]) -> Way:
    @contextmanager
    def open() -> Iterator[Turn]:
        with server(bucket()) as endpoint, worker(command, CREDENTIALS | {"AWS_ENDPOINT_URL": endpoint}) as turn:
            yield turn

    return Way(name, open)
