"""Cold start: from a new process to the first answer, a 110 MB int8 BERT from a local S3.

Each turn is a fresh emulator, runtime client and Python 3.13, whose start is part of every way's time. The function
has the memory that gives two vCPUs, as many as this machine has; every way may use both.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.area import ROOT, Case, Figures, Turn, Way
from tests.benchmarks.bert import LABELS, MODEL, bucket
from tests.benchmarks.worker import peak_mb
from tests.support.emulator import Emulator, free_port
from tests.support.layers import FUNCTIONS, build_once, layer, python313
from tests.support.requests import rest_event

PLAIN = "tokenizers + FastAPI + boto3 + session by path"
TRANSFORMERS = "transformers + FastAPI + boto3 + session by path"
COMMON = ("onnxruntime==1.32.0", "fastapi==0.165.0", "mangum==0.22.0")
MEMORY_MB = 3538
HTTP = rest_event("POST", f"/models/{MODEL}", json.dumps({"inputs": "this is a great movie"}))
KEY = f"uploads/{MODEL}/text.json"


@dataclass(frozen=True)
class Start:
    """The function to start, the event to send it, and the check of its response."""

    code: Path
    packages: Callable[[], Sequence[Path]]
    event: Mapping[str, Any]
    is_valid: Callable[[Any], bool]
    environment: Mapping[str, str] = field(default_factory=dict)

    @contextmanager
    def open(self) -> Iterator[Turn]:
        with server(bucket()) as endpoint:
            yield lambda: self._turn(endpoint)

    def _turn(self, endpoint: str) -> Figures:
        with tempfile.TemporaryDirectory() as output:
            variables = {"AWS_ENDPOINT_URL": endpoint, "HEARTH_OUTPUT": Path(output).as_uri()}
            emulator = Emulator(self.code, self.packages(), {**self.environment, **variables}, memory_mb=MEMORY_MB)
            started = time.perf_counter()
            with emulator:
                response = emulator.invoke(self.event)
                seconds = time.perf_counter() - started
                if response.status != 200 or not self.is_valid(response.payload):
                    raise RuntimeError(f"{response.raw!r}\n{emulator.log}")
                return {"seconds": seconds, "peak_mb": peak_mb(emulator.runtime_pid())}


def cases(work: Path) -> Sequence[Case]:
    http, direct, storage = ways()
    limit = "0.28 without a web framework; the floor is about 0.17"
    memory = Case("Highest resident memory", http, PLAIN, 0.65, figure="peak_mb", limit="0.59, weights mapped")
    return [
        Case("HTTP event", http, PLAIN, 0.40, limit=limit),
        Case("direct event (a batch of one)", direct, PLAIN, 0.30, limit=limit),
        Case("storage event", storage, PLAIN, 0.30, limit=limit),
        memory,
    ]


def ways() -> tuple[list[Way], list[Way], list[Way]]:
    """By kind of event. The peers accept HTTP only."""
    batch = {"batch": {"bucket": "bucket", "model": MODEL, "run": "run"}, "Items": [{"Key": KEY, "Size": 30}]}
    stored = {"bucket": {"name": "bucket"}, "object": {"key": KEY, "size": 30}}
    event = {"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": stored}]}
    tokenizers, transformers = (plain(kind) for kind in ("tokenizers", "transformers"))
    empty = Way("an empty function: emulator, client, Python", Start(HERE / "empty", list, {}, bool).open)
    return (
        [Way("Hearth", hearth(HTTP, _is_200).open), tokenizers, transformers, empty],
        [Way("Hearth", hearth(batch, lambda response: response["done"] == 1).open), tokenizers],
        [Way("Hearth", hearth(event, lambda response: response == {}).open), tokenizers],
    )


HERE = ROOT / "tests/benchmarks"


def hearth(event: Mapping[str, Any], is_valid: Callable[[Any], bool]) -> Start:
    environment = {"HEARTH_STORE": "s3://bucket", "HEARTH_MODELS": MODEL}
    return Start(ROOT / "functions/text_classification", layers, event, is_valid, environment)


def layers() -> list[Path]:
    return [layer(name) / "python" for name in FUNCTIONS["text_classification"]]


def plain(kind: str) -> Way:
    """The handler of a tutorial, with the tokenizer of one of two packages."""
    environment = {"BUCKET": "bucket", "LABELS": json.dumps(LABELS), "TOKENIZER": kind, "USE_TORCH": "0"}
    version = {"tokenizers": "0.23.3", "transformers": "5.23.0"}[kind]
    start = Start(HERE / "plain", lambda: [packages(kind, f"{kind}=={version}")], HTTP, _is_200, environment)
    return Way(PLAIN if kind == "tokenizers" else TRANSFORMERS, start.open)


def packages(name: str, tokenizer: str) -> Path:
    """The packages of the plain way, with bytecode compiled, as such a function would be deployed."""
    requirements = (*COMMON, tokenizer)

    def build(folder: Path) -> None:
        command = [python313(), "-m", "pip", "install", "--quiet", "--target", folder, *requirements]
        subprocess.run(command, check=True)

    return build_once(f"plain-{name}-packages", " ".join(requirements).encode(), build)


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A local S3 in a process of its own; yields its URL."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "tests.support.s3", str(folder), str(port)], cwd=ROOT)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _is_200(response: Any) -> bool:
    return bool(response["statusCode"] == 200)
