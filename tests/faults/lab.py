"""The runtime in this process, with a proxy between it and a local S3 and SQS."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from hearth import settings
from hearth.aws import sqs
from hearth.models.cache import warm_cache
from hearth.telemetry import log
from tests.faults.proxy import Proxy, proxied
from tests.support.artifacts import make_image_artifact, make_text_artifact
from tests.support.s3 import CREDENTIALS, client, moto_s3

TEXT, IMAGE = "sentiment-en", "resnet20-cifar10"
PRAISE = b'{"inputs": "a wonderful film"}'
CONTEXT = SimpleNamespace(aws_request_id="request-1", function_name="f", memory_limit_in_mb=512)
FILLER = 2 * 1024 * 1024
"""Approximate bytes of the text model's weights."""


@dataclass
class Lab:
    proxy: Proxy
    s3: Any
    sqs: Any
    dead_letter_queue: str
    scratch: Path

    def reset(self) -> None:
        """Reset to a new execution environment: nothing loaded, nothing on disk, no connection."""
        shutil.rmtree(self.scratch / "cache", ignore_errors=True)
        self.clear_caches()

    def clear_caches(self) -> None:
        """Clear what a restart clears: everything but the disk."""
        settings.get.cache_clear()
        warm_cache.cache_clear()
        sqs._endpoint.cache_clear()

    def upload(self, key: str, body: bytes) -> tuple[str, str, int, str, str]:
        """Put an object and return the arguments of its event, for tests.support.storage."""
        response = self.s3.put_object(Bucket="inbox", Key=key, Body=body)
        return key, response["ETag"].strip('"'), len(body), "01", response["VersionId"]

    def result_counts(self, key: str) -> dict[str, int]:
        """Number of writes of each result of an upload, including the reason of a failure."""
        return self.write_counts(f"results/{key}.json")

    def write_counts(self, prefix: str) -> dict[str, int]:
        """Number of writes of each output below `prefix`."""
        counts: dict[str, int] = {}
        for version in self.s3.list_object_versions(Bucket="outbox", Prefix=prefix).get("Versions", ()):
            counts[version["Key"]] = counts.get(version["Key"], 0) + 1
        return counts

    def take_dead_letters(self) -> list[str]:
        """Receive and delete the dead letters, and return their bodies."""
        bodies = []
        while messages := self.sqs.receive_message(QueueUrl=self.dead_letter_queue, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            for message in messages:
                bodies.append(message["Body"])
                self.sqs.delete_message(QueueUrl=self.dead_letter_queue, ReceiptHandle=message["ReceiptHandle"])
        return bodies


def status_and_code(response: dict[str, Any]) -> tuple[int, str]:
    """Status and error code of an HTTP response; the code is empty if there is no error."""
    body = json.loads(response["body"]) if response.get("body") else {}
    return response["statusCode"], body.get("error_type", "") if isinstance(body, dict) else ""


@contextmanager
def start_lab(*, with_pauses: bool = True) -> Iterator[Lab]:
    """Start a lab. `with_pauses`: retry after the pauses of production; otherwise, at once."""
    level = log.logger().level
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with moto_s3() as url, proxied(url) as proxy, tempfile.TemporaryDirectory() as folder:
        urllib.request.urlopen(f"{url}/moto-api/reset", data=b"").close()
        lab = Lab(proxy, client(url), client(url, "sqs"), "", Path(folder))
        lab.dead_letter_queue = lab.sqs.create_queue(QueueName="letters")["QueueUrl"]
        _publish(lab)
        environment = {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": proxy.url,
            "HEARTH_STORE": "s3://artifacts/models",
            "HEARTH_CACHE_DIR": str(lab.scratch / "cache"),
            "HEARTH_ALIAS_SECONDS": "0",
            "HEARTH_OUTPUT": "s3://outbox/results",
            "HEARTH_UPLOADS": "s3://inbox",
            "HEARTH_DEAD_LETTERS": lab.dead_letter_queue,
        }
        time_without_pauses = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: None)
        pauses = patch("hearth.aws.retry.time", time_without_pauses) if not with_pauses else patch.dict(os.environ, {})
        with patch.dict(os.environ, environment), pauses:
            log.logger().setLevel("CRITICAL")
            lab.reset()
            try:
                yield lab
            finally:
                log.logger().setLevel(level)
        lab.reset()


@contextmanager
def variables(lab: Lab, **values: str) -> Iterator[None]:
    """Set environment variables within the block."""
    with patch.dict(os.environ, values):
        lab.clear_caches()
        yield
    lab.clear_caches()


def _publish(lab: Lab) -> None:
    for bucket in ("artifacts", "inbox", "outbox"):
        lab.s3.create_bucket(Bucket=bucket)
        lab.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    store = lab.scratch / "store"
    make_text_artifact(store, TEXT, filler=FILLER)
    make_image_artifact(store, IMAGE)
    for model in (TEXT, IMAGE):
        (store / model / "aliases.json").write_text('{"prod": {"version": "1"}}')
    for path in sorted(path for path in store.rglob("*") if path.is_file()):
        lab.s3.put_object(Bucket="artifacts", Key=f"models/{path.relative_to(store)}", Body=path.read_bytes())
