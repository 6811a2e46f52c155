"""Thousands of invocations of one execution environment under the real runtime client: nothing may grow.

    python -m tests.load.soak --invocations 20000

What is asked changes all the time, and three models share a cache that holds fewer, so that they are loaded and dropped
all along. A second handler, which keeps a little of each invocation, must be caught by the same rules.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.support.artifacts import make_text_artifact
from tests.support.emulator import Emulator
from tests.support.layers import FUNCTIONS, ROOT, layer
from tests.support.record import record
from tests.support.requests import http_event, rest_event

FUNCTION = "text_classification"
MODELS = ("sentiment-en", "sentiment-fr", "sentiment-es")
FILLER = 12 * 1024 * 1024
"""Bytes of noise in each model."""
CACHE_MB = 28
"""What the cache may hold, in memory and on disk: two models of the three."""
LEAKS = """
from real import handler as real
import tempfile
kept, count = [], 0

def handler(event, context):
    global count
    count += 1
    kept.append(bytearray(65536))
    if count % 10 == 0:
        kept.append(tempfile.NamedTemporaryFile())
    return real(event, context)
"""
"""The handler that keeps 64 KB of each invocation, and of every tenth a file."""
SAMPLES = 60


@dataclass(frozen=True)
class Sample:
    invocations: int
    memory: int
    """Bytes resident."""
    descriptors: int
    cache: int
    """Bytes of the cache on disk."""
    scratch: int
    """Files in /tmp beside it."""


def events(seed: int) -> Iterator[dict[str, Any]]:
    """Requests without end, right and wrong ones, one model after the other."""
    random, number = Random(seed), 0
    words = ["the", "a", "film", "is", "good", "bad", "great", "awful", "wonderful", "terrible", "love", "hate"]
    while True:
        number += 1
        model = MODELS[number // 25 % len(MODELS)]
        text = " ".join(random.choices(words, k=random.randint(1, 200)))
        wrap = random.choice((rest_event, http_event))
        body = random.choice(
            (
                f'{{"inputs": "{text}"}}',
                f'{{"inputs": ["{text}", "{text[:50]}"], "parameters": {{"top_k": 1}}}}',
                f'{{"inputs": "{text}"'.encode(),
                f'{{"outputs": "{text}"}}',
            )
        )
        yield wrap("POST", random.choice((f"/models/{model}",) * 8 + ("/models/none", "/nothing", "/v2/models")), body)


@contextmanager
def environment(*, leaking: bool = False) -> Iterator[Emulator]:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for name in MODELS:
            make_text_artifact(work / "store", name, filler=FILLER)
        settings = {
            "HEARTH_STORE": (work / "store").as_uri(),
            "HEARTH_CACHE_MEMORY_MB": str(CACHE_MB),
            "HEARTH_CACHE_DISK_MB": str(CACHE_MB),
            "HEARTH_THREADS": "1",
        }
        if not leaking:
            with Emulator.of(FUNCTION, settings) as emulator:
                yield emulator
            return
        shutil.copytree(ROOT / "functions" / FUNCTION, work / "leaking")
        (work / "leaking" / "app.py").rename(work / "leaking" / "real.py")
        (work / "leaking" / "app.py").write_text(LEAKS)
        packages = [layer(name) / "python" for name in FUNCTIONS[FUNCTION]]
        with Emulator(work / "leaking", packages, settings) as emulator:
            yield emulator


def soak(emulator: Emulator, invocations: int, seed: int) -> tuple[list[Sample], Counter[int]]:
    """(what it took as it went on, the statuses of the answers)."""
    samples, statuses = [], Counter[int]()
    for number, event in zip(range(1, invocations + 1), events(seed), strict=False):
        statuses[int(str(emulator.invoke(event).payload["statusCode"]))] += 1
        if number % max(invocations // SAMPLES, 1) == 0:
            samples.append(_sample(emulator, number))
    return samples, statuses


def _sample(emulator: Emulator, number: int) -> Sample:
    process, cache = Path(f"/proc/{emulator.runtime_pid()}"), emulator.scratch / "hearth"
    resident = next(line for line in (process / "status").read_text().splitlines() if line.startswith("VmRSS"))
    files = [path for path in emulator.scratch.rglob("*") if path.is_file()]
    return Sample(
        number,
        int(resident.split()[1]) * 1024,
        len(list((process / "fd").iterdir())),
        sum(path.stat().st_size for path in files if path.is_relative_to(cache)),
        len([path for path in files if not path.is_relative_to(cache)]),
    )


def slope(samples: Sequence[Sample]) -> float:
    """Bytes of memory that an invocation adds, after the first third."""
    later = samples[len(samples) // 3 :]
    return statistics.linear_regression([s.invocations for s in later], [s.memory for s in later]).slope


def growing(samples: Sequence[Sample]) -> set[str]:
    """What grew, between the second quarter and the last."""
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]

    def middle(part: Sequence[Sample], name: str) -> float:
        return statistics.median(getattr(sample, name) for sample in part)

    found = set()
    if middle(late, "memory") > 1.03 * middle(early, "memory") + 2**20:
        found.add("memory")
    found |= {name for name in ("descriptors", "scratch") if middle(late, name) > middle(early, name) + 2}
    if max(sample.cache for sample in samples) > CACHE_MB * 2**20:
        found.add("cache")
    return found


def table(samples: Sequence[Sample]) -> str:
    rows = ["| invocations | memory, MB | descriptors | cache on disk, MB | other files |", "|---|---|---|---|---|"]
    for sample in samples[:: max(len(samples) // 10, 1)]:
        sizes = f"{sample.memory / 2**20:.1f} | {sample.descriptors} | {sample.cache / 2**20:.1f} | {sample.scratch}"
        rows.append(f"| {sample.invocations} | {sizes} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--invocations", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with environment() as emulator:
        samples, statuses = soak(emulator, given.invocations, given.seed)
    with environment(leaking=True) as emulator:
        leaking, _ = soak(emulator, 600, given.seed)
    grew = growing(samples)
    answers = ", ".join(f"{count} of {status}" for status, count in sorted(statuses.items()))
    words = (
        f"{given.invocations} invocations of `{FUNCTION}` under awslambdaric, three models in a cache for two. What "
        f"grew: {', '.join(sorted(grew)) or 'nothing'}. Memory: {slope(samples):+.0f} bytes an invocation after the "
        f"first third. Answers: {answers}. The handler that leaks, over 600: {', '.join(sorted(growing(leaking)))}, "
        f"{slope(leaking):+.0f} bytes an invocation.\n\n"
    )
    command = f"python -m tests.load.soak --invocations {given.invocations}"
    record("Soak", command, words + table(samples), seed=given.seed)
    sys.exit(bool(grew))


if __name__ == "__main__":
    main()
