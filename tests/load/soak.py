"""Thousands of invocations of one execution environment under the real runtime client: nothing may grow.

    python -m tests.load.soak --invocations 20000

Requests vary, and three models share a cache for two, so that models are loaded and evicted all the time. A second
handler, which leaks a little memory per invocation, must be detected by the same rules.
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
"""Bytes of random data in each model."""
CACHE_MB = 28
"""Size of the cache in memory and on disk: two of the three models."""
LEAKING_HANDLER = """
from real import handler as real
import tempfile
leaked, count = [], 0

def handler(event, context):
    global count
    count += 1
    leaked.append(bytearray(65536))
    if count % 10 == 0:
        leaked.append(tempfile.NamedTemporaryFile())
    return real(event, context)
"""
"""A handler that leaks 64 KB per invocation, and a file every ten."""
SAMPLES = 60


@dataclass(frozen=True)
class Sample:
    invocations: int
    memory: int
    """Resident bytes."""
    descriptors: int
    cache: int
    """Bytes of the cache on disk."""
    scratch: int
    """Number of files in /tmp outside the cache."""


def events(seed: int) -> Iterator[dict[str, Any]]:
    """An endless sequence of valid and invalid requests, one model after the other."""
    random, number = Random(seed), 0
    words = ["the", "a", "film", "is", "good", "bad", "great", "awful", "wonderful", "terrible", "love", "hate"]
    while True:
        number += 1
        model = MODELS[number // 25 % len(MODELS)]
        text = " ".join(random.choices(words, k=random.randint(1, 200)))
        make_event = random.choice((rest_event, http_event))
        body = random.choice(
            (
                f'{{"inputs": "{text}"}}',
                f'{{"inputs": ["{text}", "{text[:50]}"], "parameters": {{"top_k": 1}}}}',
                f'{{"inputs": "{text}"'.encode(),
                f'{{"outputs": "{text}"}}',
            )
        )
        yield make_event(
            "POST", random.choice((f"/models/{model}",) * 8 + ("/models/none", "/nothing", "/v2/models")), body
        )


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
        (work / "leaking" / "app.py").write_text(LEAKING_HANDLER)
        packages = [layer(name) / "python" for name in FUNCTIONS[FUNCTION]]
        with Emulator(work / "leaking", packages, settings) as emulator:
            yield emulator


def soak(emulator: Emulator, invocations: int, seed: int) -> tuple[list[Sample], Counter[int]]:
    """Return resource samples over time, and the number of responses by status."""
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
    """Bytes of memory that each invocation adds after the first third."""
    later = samples[len(samples) // 3 :]
    return statistics.linear_regression([s.invocations for s in later], [s.memory for s in later]).slope


def growing(samples: Sequence[Sample]) -> set[str]:
    """Names of the resources that grew between the second quarter and the last."""
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]

    def median(window: Sequence[Sample], name: str) -> float:
        return statistics.median(getattr(sample, name) for sample in window)

    grown = set()
    if median(late, "memory") > 1.03 * median(early, "memory") + 2**20:
        grown.add("memory")
    grown |= {name for name in ("descriptors", "scratch") if median(late, name) > median(early, name) + 2}
    if max(sample.cache for sample in samples) > CACHE_MB * 2**20:
        grown.add("cache")
    return grown


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
    options = parser.parse_args()
    with environment() as emulator:
        samples, statuses = soak(emulator, options.invocations, options.seed)
    with environment(leaking=True) as emulator:
        leaking, _ = soak(emulator, 600, options.seed)
    grown = growing(samples)
    counts = ", ".join(f"{count} of {status}" for status, count in sorted(statuses.items()))
    summary = (
        f"{options.invocations} invocations of `{FUNCTION}` under awslambdaric, three models in a cache for two. "
        f"Growth: {', '.join(sorted(grown)) or 'none'}. Memory: {slope(samples):+.0f} bytes per invocation after the "
        f"first third. Statuses: {counts}. The leaking handler, over 600: {', '.join(sorted(growing(leaking)))}, "
        f"{slope(leaking):+.0f} bytes per invocation.\n\n"
    )
    command = f"python -m tests.load.soak --invocations {options.invocations}"
    record("Soak", command, summary + table(samples), seed=options.seed)
    sys.exit(bool(grown))


if __name__ == "__main__":
    main()
