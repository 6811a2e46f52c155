"""Cold starts beside the plain way: `python -m tests.benchmarks.cold_start [--rounds N]`.

Each start is a fresh emulator, runtime client and Python 3.13, up to the first HTTP answer, with the model
from a local S3. The ways take turns in every round, so that load on the machine meets all of them. Writes
`results/cold_start.md` beside this file. Ratios count, milliseconds are of this machine.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.bert import LABELS, MODEL, make_bucket
from tests.emulator import Emulator, free_port
from tests.layers import FUNCTIONS, ROOT, layer, made_once, python313
from tests.requests import rest_event

HERE = Path(__file__).parent
TEXT = "this is a great movie"
COMMON = ("onnxruntime==1.32.0", "fastapi==0.165.0", "mangum==0.22.0")


@dataclass(frozen=True)
class Way:
    name: str
    code: Path
    packages: Sequence[Path]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Start:
    seconds: float
    """From starting the emulator to having the answer."""
    megabytes: float
    """The runtime process's highest resident memory."""


def ways(model: str) -> list[Way]:
    """Ours first, then what it is compared with."""
    plain = {"BUCKET": "bucket", "LABELS": json.dumps(LABELS)}
    hearth = {"HEARTH_STORE": "s3://bucket", "HEARTH_MODELS": model}
    layers = [layer(name) / "python" for name in FUNCTIONS["text_classification"]]
    tokenizers = _packages("tokenizers", "tokenizers==0.23.3")
    transformers = _packages("transformers", "transformers==5.23.0")
    return [
        Way("Hearth", ROOT / "functions/text_classification", layers, hearth),
        Way("plain, tokenizers", HERE / "plain", [tokenizers], plain | {"TOKENIZER": "tokenizers"}),
        Way(
            "plain, transformers",
            HERE / "plain",
            [transformers],
            plain | {"TOKENIZER": "transformers", "USE_TORCH": "0"},
        ),
    ]


def start(way: Way, endpoint: str, model: str) -> Start:
    """One cold start. Raises RuntimeError with the log where the answer is not one."""
    event = rest_event("POST", f"/models/{model}", json.dumps({"inputs": TEXT}))
    started = time.perf_counter()
    with Emulator(way.code, way.packages, {**way.environment, "AWS_ENDPOINT_URL": endpoint}) as emulator:
        answer = emulator.invoke(event)
        seconds = time.perf_counter() - started
        if answer.status != 200 or answer.payload.get("statusCode") != 200:
            raise RuntimeError(f"{way.name}: {answer.raw!r}\n{emulator.log}")
        status = Path(f"/proc/{emulator.runtime_pid()}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak is not None
    return Start(seconds, int(peak[1]) / 1024)


def table(starts: Mapping[str, Sequence[Start]]) -> str:
    """Medians, and each way as a share of the plain one with tokenizers."""

    def median(name: str, field: str) -> float:
        return statistics.median(getattr(start, field) for start in starts[name])

    lines = [
        "| way | first answer, s | share of plain | peak memory, MB | share of plain |",
        "|---|---|---|---|---|",
    ]
    for name in starts:
        seconds, megabytes = median(name, "seconds"), median(name, "megabytes")
        time_share = seconds / median("plain, tokenizers", "seconds")
        memory_share = megabytes / median("plain, tokenizers", "megabytes")
        lines.append(f"| {name} | {seconds:.3f} | {time_share:.2f} | {megabytes:.0f} | {memory_share:.2f} |")
    return "\n".join(lines)


def _packages(name: str, tokenizer: str) -> Path:
    """The plain way's packages, compiled, as a function of that kind would be deployed."""
    wanted = (*COMMON, tokenizer)

    def build(folder: Path) -> None:
        command = [python313(), "-m", "pip", "install", "--quiet", "--target", folder, *wanted]
        subprocess.run(command, check=True)

    return made_once(f"plain-{name}-packages", " ".join(wanted).encode(), build)


def _bucket() -> Path:
    """A folder with the bucket `bucket`: the random BERT in both forms, made once."""

    def build(folder: Path) -> None:
        make_bucket(folder / "bucket")

    return made_once("benchmark-bert", (HERE / "bert.py").read_bytes(), build)


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    """A local S3 in a process of its own; yields its URL."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "tests.s3", str(folder), str(port)], cwd=ROOT)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    starts: dict[str, list[Start]] = {way.name: [] for way in ways(MODEL)}
    with _server(_bucket()) as endpoint:
        for turn in range(rounds + 1):
            for way in ways(MODEL):
                measured = start(way, endpoint, MODEL)
                if turn:  # the first round fills the page cache and is left out
                    starts[way.name].append(measured)
    size = sum(path.stat().st_size for path in (_bucket() / "bucket" / MODEL / "1").iterdir()) / 1e6
    report = f"{MODEL}, int8, {size:.0f} MB, {platform.machine()}, medians of {rounds} interleaved cold starts\n\n"
    report += table(starts) + "\n"
    print(report)
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results/cold_start.md").write_text("# Cold start, whole process, under the emulator\n\n" + report)


if __name__ == "__main__":
    main()
