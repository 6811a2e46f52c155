"""Requests and bytes that a cold start reads from the store, and copies of the weights in anonymous memory."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.kept_fast.compare import Figures
from tests.kept_fast.process import environment
from tests.support.artifacts import make_text_artifact
from tests.support.layers import ROOT
from tests.support.requests import rest_event
from tests.support.s3 import CREDENTIALS, folder_s3

HERE = Path(__file__).parent
MODEL = "sentiment-en"
ROWS = 6_000_000
"""Rows of two float32 scores: weights of 48 MB."""
POLL_SECONDS = 0.002


def measure(*, careless: bool = False) -> Figures:
    """Compare a model of 48 MB with a tiny one. `careless` is the control: a start that downloads the weights again and
    holds them."""
    tiny, large = _ColdStart(0, careless=False), _ColdStart(ROWS, careless=careless)
    return {
        "48 MB/requests": large.requests,
        "48 MB/bytes beyond the files": large.received - large.files,
        "48 MB/copies in memory": round((large.anonymous - tiny.anonymous) / (large.files - tiny.files), 3),
    }


class _ColdStart:
    """One cold start with a local S3: bytes of the artifact's `files`, bytes `received`, number of `requests`, and the
    maximum of `anonymous` bytes of the process."""

    def __init__(self, rows: int, *, careless: bool) -> None:
        with tempfile.TemporaryDirectory(prefix="hearth-kept-") as folder:
            artifact = make_text_artifact(Path(folder) / "bucket", MODEL, rows=rows)
            self.files = sum(path.stat().st_size for path in artifact.iterdir() if path.name != "manifest.json")
            with folder_s3(Path(folder)) as server:
                event = rest_event("POST", f"/models/{MODEL}", json.dumps({"inputs": "this is a great movie"}))
                command: list[str | Path] = [sys.executable, HERE / "process_cold.py", json.dumps(event)]
                command += [f"{server.url}/bucket/{MODEL}/1/model.bin"] if careless else []
                self.anonymous = _maximum_anonymous(command, Path(folder) / "cache", server.url)
                self.requests, self.received = len(server.requests), server.sent


def _maximum_anonymous(command: list[str | Path], cache: Path, endpoint: str) -> int:
    """Run a command and return its maximum anonymous memory in bytes. Raises RuntimeError if it fails."""
    variables = {
        **CREDENTIALS,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9",  # there, the download of the pinned model begins before the imports
        "HEARTH_STORE": "s3://bucket",
        "HEARTH_MODELS": MODEL,
        "HEARTH_CACHE_DIR": str(cache),
        "HEARTH_THREADS": "1",
    }
    process_environment = environment(ROOT / "functions/text_classification", **variables)
    maximum = 0
    with subprocess.Popen(
        command, env=process_environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        while process.poll() is None:
            match = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
            maximum = max(maximum, 1024 * int(match[1])) if match else maximum
            time.sleep(POLL_SECONDS)
        assert process.stderr is not None
        if process.returncode:
            raise RuntimeError(process.stderr.read().decode())
    return maximum
