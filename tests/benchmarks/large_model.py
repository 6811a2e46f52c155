"""The way of a large decoder, in one go: `python -m tests.benchmarks.large_model FOLDER [PRECISION]`.

Imports a Hugging Face folder, publishes it, and starts the function of text-generation under our runtime, as Lambda
does, with the model in a local S3. Records seconds and the highest resident memory of each step; those of a command
include mapped pages of the files that it reads, and the processes that it starts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.events import event
from tests.support import ROOT, runtime_api
from tests.support.record import record
from tests.support.runtime_api import RuntimeApi
from tests.support.s3 import CREDENTIALS, folder_s3

NAME = "large"
TOKENS = 200
PROMPT = "The story of the lighthouse begins"
GENERATION = ROOT / "functions/text_generation"
WAIT_SECONDS = 600.0
"""Longest wait for a response: the deadlines that count are those of the function."""


class Step(NamedTuple):
    name: str
    seconds: float
    peak_mb: float
    """Highest resident memory."""
    result: str = ""


def hearth(name: str, arguments: Sequence[str], folder: Path) -> Step:
    """Run `hearth` in a folder. Raises RuntimeError if it fails."""
    started = time.perf_counter()
    with (folder / "output.txt").open("w+") as output:
        command = [sys.executable, "-m", "hearth_build.cli.main", *arguments]
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        lines = [line.strip() for line in output.read().splitlines() if line.strip()]
    if process.returncode:
        raise RuntimeError("\n".join(lines))
    return Step(name, time.perf_counter() - started, usage.ru_maxrss / 1000, lines[-2] if len(lines) > 1 else "")


def peak_mb(pid: int) -> float:
    """Highest resident memory of a running process."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM"))


def request(tokens: int) -> dict[str, object]:
    parameters = {"max_new_tokens": tokens, "ignore_eos": True, "seed": 1}
    body = json.dumps({"inputs": PROMPT, "parameters": parameters, "stream": True})
    return event("function-url", path=f"/models/{NAME}", body=body)


def generate(api: RuntimeApi, pid: int, started: float, name: str) -> list[Step]:
    """The steps until the first token and until the last one; a 503 is asked again."""
    while True:
        api.offer(request(TOKENS), **{"Lambda-Runtime-Deadline-Ms": str(int((time.time() + WAIT_SECONDS) * 1000))})
        api.streaming_head()
        head, _, body = api.chunk().partition(bytes(8))
        seconds, memory = 0.0, 0.0
        while chunk := api.chunk():
            if b"data:" in chunk and not seconds:
                seconds, memory = time.perf_counter() - started, peak_mb(pid)
            body += chunk
        api.trailers()
        api.accept()
        status = json.loads(head)["statusCode"]
        if status == 200:
            break
        if status != 503:  # 503: the model is still being loaded
            raise RuntimeError(body.decode())
    count = body.count(b"data:")
    rest = time.perf_counter() - started - seconds
    result = f"{count} tokens, {(count - 1) / rest:.1f} a second"
    return [Step(f"{name}: first token", seconds, memory), Step(f"{name}: the others", rest, peak_mb(pid), result)]


def main() -> None:
    source, precision = Path(sys.argv[1]).resolve(), (sys.argv[2:] or ["auto"])[0]
    runtime_api.SECONDS = int(WAIT_SECONDS)
    with tempfile.TemporaryDirectory() as temporary, folder_s3(Path(temporary)) as server:
        folder = Path(temporary)
        store = (folder / "models").as_uri()
        steps = [
            hearth("import", ["import", str(source), "--name", NAME, "--precision", precision], folder),
            hearth("publish", ["publish", f"build/{NAME}/artifact", "--store", store, "--alias", "prod"], folder),
        ]
        size = sum(path.stat().st_size for path in (folder / "models" / NAME / "1").iterdir())
        environment = {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL_S3": server.url,
            "HEARTH_STORE": "s3://models",
            "HEARTH_CACHE_DIR": str(folder / "cache"),
            "HEARTH_CACHE_DISK_MB": str(2 * size // 10**6),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "4096",
            "ORT_DISABLE_TELEMETRY": "1",
        }
        started = time.perf_counter()
        with RuntimeApi() as api, api.runtime(GENERATION, environment) as process:
            steps += generate(api, process.pid, started, "cold")
            steps += generate(api, process.pid, time.perf_counter(), "warm")
    lines = [
        f"`{source.name}`, artifact of {size / 1e6:,.0f} MB.",
        "",
        "| step | seconds | peak MB | |",
        "|---|---:|---:|---|",
    ]
    lines += [f"| {step.name} | {step.seconds:.1f} | {step.peak_mb:,.0f} | {step.result} |" for step in steps]
    record("A large decoder", f"python -m tests.benchmarks.large_model {source.name} {precision}", "\n".join(lines))


if __name__ == "__main__":
    main()
