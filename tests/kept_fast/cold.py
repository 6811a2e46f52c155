"""A cold start's requests to the store, their bytes, and how often the weights lie in anonymous memory."""

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
"""Of two float32 scores: weights of 48 MB."""
POLL_SECONDS = 0.002


def measure(*, careless: bool = False) -> Figures:
    """Of a model of 48 MB, beside a tiny one; as a control of a start that fetches the weights once more and holds
    them."""
    tiny, large = _start(0, careless=False), _start(ROWS, careless=careless)
    return {
        "48 MB/requests": large.requests,
        "48 MB/bytes beyond the files": large.received - large.files,
        "48 MB/copies in memory": round((large.anonymous - tiny.anonymous) / (large.files - tiny.files), 3),
    }


class _start:
    """One cold start with a local S3: bytes of the artifact's `files`, what was `received` with how many `requests`,
    and the most `anonymous` bytes that the process had."""

    def __init__(self, rows: int, *, careless: bool) -> None:
        with tempfile.TemporaryDirectory(prefix="hearth-kept-") as made:
            artifact = make_text_artifact(Path(made) / "bucket", MODEL, rows=rows)
            self.files = sum(path.stat().st_size for path in artifact.iterdir() if path.name != "manifest.json")
            with folder_s3(Path(made)) as server:
                event = rest_event("POST", f"/models/{MODEL}", json.dumps({"inputs": "this is a great movie"}))
                command: list[str | Path] = [sys.executable, HERE / "process_cold.py", json.dumps(event)]
                command += [f"{server.url}/bucket/{MODEL}/1/model.bin"] if careless else []
                self.anonymous = _most_anonymous(command, Path(made) / "cache", server.url)
                self.requests, self.received = len(server.requests), server.sent


def _most_anonymous(command: list[str | Path], cache: Path, endpoint: str) -> int:
    """Run to the end; the most bytes of anonymous memory that the process had. Raises RuntimeError."""
    variables = {
        **CREDENTIALS,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9",  # where the fetch of the pinned model begins before the imports
        "HEARTH_STORE": "s3://bucket",
        "HEARTH_MODELS": MODEL,
        "HEARTH_CACHE_DIR": str(cache),
        "HEARTH_THREADS": "1",
    }
    surroundings = environment(ROOT / "functions/text_classification", **variables)
    most = 0
    with subprocess.Popen(command, env=surroundings, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while process.poll() is None:
            found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
            most = max(most, 1024 * int(found[1])) if found else most
            time.sleep(POLL_SECONDS)
        assert process.stderr is not None
        if process.returncode:
            raise RuntimeError(process.stderr.read().decode())
    return most
