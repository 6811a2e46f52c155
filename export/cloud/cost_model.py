"""What a model costs on Lambda by memory size, and from how many calls on a server is cheaper; `hearth cost NAME`.

Measured: a new process to its first answer, then warm answers, through the function's own handler, on as many
processors as Lambda gives (one for each 1,769 MB). Below one processor a size is not measured but computed: the
processor time of the answer, divided by the share. More processors than this machine has are left out.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearth.errors import BadRequest
from hearth.settings import MEMORY_PER_CPU_MB

PRICES = Path(__file__).with_name("prices.toml")
SHARES = (0.25, 0.5, 1, 2, 3, 4, 5, 6)
"""Of processors; 6 are the most that a Lambda has."""
HEADROOM = 1.25
"""Of memory above the measured peak: the runtime client and the system take some too."""


@dataclass(frozen=True)
class Measured:
    """Milliseconds of one process, and what it took at most of memory."""

    cold: float
    warm: float
    """Median."""
    processor: float
    """Of one warm answer: processor time, on all threads."""
    peak_mb: float


@dataclass(frozen=True)
class Size:
    memory_mb: int
    share: float
    cold_ms: float
    warm_ms: float
    dollars: float
    """Of a thousand calls, cold starts among them, without the API."""
    fits: bool
    """Whether the model's memory fits."""


@dataclass(frozen=True)
class Cost:
    sizes: list[Size]
    cheapest: Size | None
    """That fits, and answers a warm call within the bound; None: no size does."""
    api: float
    """Dollars of a thousand requests to the API."""
    servers: dict[str, float]
    """Dollars a month."""

    def break_even(self, server: float) -> float:
        """Calls a month from which `server`, in dollars a month, is cheaper than the cheapest size."""
        assert self.cheapest is not None
        return server / (self.cheapest.dollars + self.api) * 1000


def measure(event: dict[str, Any], function: str, store: str, processors: int, calls: int) -> Measured:
    """Of `processors` of this machine. Raises BadRequest with what the process said where it failed."""
    with tempfile.TemporaryDirectory() as scratch:
        told = Path(scratch) / "measured.json"
        order = {"event": event, "function": function, "calls": calls, "processors": processors}
        environment = os.environ | {
            "HEARTH_STORE": store,
            "HEARTH_CACHE_DIR": f"{scratch}/cache",
            "HEARTH_THREADS": str(processors),
            "HEARTH_LOG_LEVEL": "ERROR",
        }
        command = [sys.executable, "-m", "hearth_build.cloud.cost_probe", str(told)]
        done = subprocess.run(command, input=json.dumps(order), env=environment, capture_output=True, text=True)
        if done.returncode:
            raise BadRequest(f"The model could not be measured: {done.stderr.strip().splitlines()[-1]}")
        return Measured(**json.loads(told.read_text()))


def prices_of(path: Path) -> dict[str, Any]:
    """Raises BadRequest that names what is missing."""
    prices = tomllib.loads(path.read_text(encoding="utf-8"))
    for table, name in (("lambda", "x86_64"), ("lambda", "arm64"), ("lambda", "request"), ("api", "request")):
        if not isinstance(prices.get(table, {}).get(name), float | int):
            raise BadRequest(f"{path}: [{table}] has no price `{name}`")
    return prices


def cost(
    measured: dict[int, Measured], prices: dict[str, Any], *, architecture: str, cold_rate: float, bound_ms: float
) -> Cost:
    """From what was `measured` by number of processors, 1 among them."""
    sizes = []
    for share in SHARES:
        found = measured.get(max(1, int(share)))
        if found is None:
            continue
        memory = round(share * MEMORY_PER_CPU_MB)
        slower = 1 / share if share < 1 else 1
        warm = found.processor * slower if share < 1 else found.warm
        cold = found.cold * slower
        seconds = ((1 - cold_rate) * warm + cold_rate * cold) / 1000
        dollars = 1000 * (seconds * memory / 1024 * prices["lambda"][architecture] + prices["lambda"]["request"])
        sizes.append(Size(memory, share, cold, warm, dollars, memory >= found.peak_mb * HEADROOM))
    able = [size for size in sizes if size.fits and size.warm_ms <= bound_ms]
    cheapest = min(able, key=lambda size: (round(size.dollars, 6), size.warm_ms), default=None)
    return Cost(sizes, cheapest, 1000 * prices["api"]["request"], dict(prices.get("servers", {})))


def table(found: Cost) -> str:
    """Markdown."""
    lines = [
        "| memory, MB | processors | cold, ms | warm, ms | $ a thousand calls | |",
        "|---:|---:|---:|---:|---:|---|",
    ]
    for size in found.sizes:
        note = "cheapest" if size is found.cheapest else "" if size.fits else "too small for the model"
        how = " (computed)" * (size.share < 1)
        lines.append(
            f"| {size.memory_mb} | {size.share:g}{how} | {size.cold_ms:.0f} | {size.warm_ms:.2f} "
            f"| {size.dollars:.6f} | {note} |"
        )
    if found.cheapest:
        lines += [
            "",
            f"| always on | $ a month | cheaper from calls a month, REST API ({found.api:.4f} a thousand) included |",
        ]
        lines += ["|---|---:|---:|"]
        lines += [f"| {name} | {price:.2f} | {found.break_even(price):,.0f} |" for name, price in found.servers.items()]
    return "\n".join(lines)


def plot(found: Cost, title: str, path: Path) -> None:
    """Cost and time by memory; a month's bill by calls, beside servers that are always on."""
    import matplotlib.pyplot as plt
    import numpy as np

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    memory = [size.memory_mb for size in found.sizes]
    left.plot(memory, [size.dollars * 1000 for size in found.sizes], "o-", color="tab:blue")
    left.set(xlabel="memory, MB", ylabel="$ a million calls", title=title, ylim=(0, None))
    times = left.twinx()
    times.plot(memory, [size.warm_ms for size in found.sizes], "s--", color="tab:orange")
    times.set(ylabel="warm answer, ms (dashed)", ylim=(0, None))
    if found.cheapest:
        most = 2 * max(map(found.break_even, found.servers.values()), default=1e6)
        calls = np.linspace(0, most, 50)
        right.plot(calls / 1e6, calls / 1000 * (found.cheapest.dollars + found.api), label="Lambda and REST API")
        for name, price in found.servers.items():
            right.axhline(price, ls=":", color="grey")
            right.annotate(name, (0, price), va="bottom", fontsize=8)
        right.set(xlabel="million calls a month", ylabel="$ a month", title=f"at {found.cheapest.memory_mb} MB")
        right.legend(loc="lower right")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def event_of(path: str, body: bytes, media: str) -> dict[str, Any]:
    """A REST API's event."""
    import base64

    return {
        "resource": "/{proxy+}",
        "httpMethod": "POST",
        "path": path,
        "headers": {"content-type": media},
        "multiValueHeaders": {"content-type": [media]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": {"requestId": "cost", "stage": "prod", "identity": {"sourceIp": "127.0.0.1"}},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def processors_to_measure() -> Sequence[int]:
    here = len(os.sched_getaffinity(0))
    return [int(share) for share in SHARES if 1 <= share <= here]


def median_of(runs: Sequence[Measured]) -> Measured:
    """Of several processes, each figure for itself; memory at its most."""
    return Measured(
        statistics.median(run.cold for run in runs),
        statistics.median(run.warm for run in runs),
        statistics.median(run.processor for run in runs),
        max(run.peak_mb for run in runs),
    )
