"""The runtime in this process, behind a proxy in front of a local S3 and SQS."""

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
"""Bytes of the text model's weights, about."""


@dataclass
class Lab:
    proxy: Proxy
    s3: Any
    sqs: Any
    letters: str
    scratch: Path

    def fresh(self) -> None:
        """As a new execution environment: nothing loaded, nothing on disk, no connection."""
        shutil.rmtree(self.scratch / "cache", ignore_errors=True)
        self.forget()

    def forget(self) -> None:
        """As after a restart: the disk stays."""
        settings.get.cache_clear()
        warm_cache.cache_clear()
        sqs._endpoint.cache_clear()

    def upload(self, key: str, body: bytes) -> tuple[str, str, int, str, str]:
        """Put an object; what its event tells of it, for tests.support.storage."""
        told = self.s3.put_object(Bucket="inbox", Key=key, Body=body)
        return key, told["ETag"].strip('"'), len(body), "01", told["VersionId"]

    def results(self, key: str) -> dict[str, int]:
        """How often each result of an upload was written, and why there is none."""
        return self.written(f"results/{key}.json")

    def written(self, prefix: str) -> dict[str, int]:
        """How often what is at the output under `prefix` was written."""
        found: dict[str, int] = {}
        for version in self.s3.list_object_versions(Bucket="outbox", Prefix=prefix).get("Versions", ()):
            found[version["Key"]] = found.get(version["Key"], 0) + 1
        return found

    def dead(self) -> list[str]:
        """The dead letters' bodies, which are taken."""
        bodies = []
        while found := self.sqs.receive_message(QueueUrl=self.letters, MaxNumberOfMessages=10).get("Messages"):
            for letter in found:
                bodies.append(letter["Body"])
                self.sqs.delete_message(QueueUrl=self.letters, ReceiptHandle=letter["ReceiptHandle"])
        return bodies


def told(answer: dict[str, Any]) -> tuple[int, str]:
    """Status and error code of an answer to HTTP; the code is empty where there is none."""
    body = json.loads(answer["body"]) if answer.get("body") else {}
    return answer["statusCode"], body.get("error_type", "") if isinstance(body, dict) else ""


@contextmanager
def lab(*, patient: bool = True) -> Iterator[Lab]:
    """With `patient`, the store is asked again after the pauses of production; else at once."""
    level = log.logger().level
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with moto_s3() as url, proxied(url) as proxy, tempfile.TemporaryDirectory() as folder:
        urllib.request.urlopen(f"{url}/moto-api/reset", data=b"").close()
        built = Lab(proxy, client(url), client(url, "sqs"), "", Path(folder))
        built.letters = built.sqs.create_queue(QueueName="letters")["QueueUrl"]
        _publish(built)
        environment = {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": proxy.url,
            "HEARTH_STORE": "s3://artifacts/models",
            "HEARTH_CACHE_DIR": str(built.scratch / "cache"),
            "HEARTH_ALIAS_SECONDS": "0",
            "HEARTH_OUTPUT": "s3://outbox/results",
            "HEARTH_UPLOADS": "s3://inbox",
            "HEARTH_DEAD_LETTERS": built.letters,
        }
        quick = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: None)
        pauses = patch("hearth.aws.retry.time", quick) if not patient else patch.dict(os.environ, {})
        with patch.dict(os.environ, environment), pauses:
            log.logger().setLevel("CRITICAL")
            built.fresh()
            try:
                yield built
            finally:
                log.logger().setLevel(level)
        built.fresh()


@contextmanager
def variables(place: Lab, **changed: str) -> Iterator[None]:
    """Other variables of the environment, for as long as this is entered."""
    with patch.dict(os.environ, changed):
        place.forget()
        yield
    place.forget()


def _publish(built: Lab) -> None:
    for bucket in ("artifacts", "inbox", "outbox"):
        built.s3.create_bucket(Bucket=bucket)
        built.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    store = built.scratch / "store"
    make_text_artifact(store, TEXT, filler=FILLER)
    make_image_artifact(store, IMAGE)
    for model in (TEXT, IMAGE):
        (store / model / "aliases.json").write_text('{"prod": {"version": "1"}}')
    for path in sorted(path for path in store.rglob("*") if path.is_file()):
        built.s3.put_object(Bucket="artifacts", Key=f"models/{path.relative_to(store)}", Body=path.read_bytes())
