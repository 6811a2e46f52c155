"""What a model costs on Lambda at each memory size, and above how many calls a server is cheaper; `hearth cost NAME`.

Measured are the time from the start of a new process to its first response, and then warm calls, through the
function's own handler, on as many processors as Lambda provides (one per 1,769 MB). Sizes with less than one processor
are computed, not measured: the CPU time of a call, divided by the share of a processor. Sizes with more processors
than this machine has are left out.
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
IDLE = ("alarm", "key", "dashboard", "firewall", "firewall_rule", "queue_request", "provisioned", "snapshot")
NEEDED_PRICES = (
    *(("lambda", name) for name in ("x86_64", "arm64", "request")),
    ("api", "request"),
    *(("idle", name) for name in IDLE),
)
"""Tables and names of a price file, beside the servers."""
PROCESSORS = (0.25, 0.5, 1, 2, 3, 4, 5, 6)
"""Processors of the sizes that are compared. A Lambda function has 6 at most."""
HEADROOM = 1.25
"""Factor between the measured peak memory and the size that fits: the runtime client and the system need some too."""


@dataclass(frozen=True)
class Measurement:
    """Times and peak memory of one process."""

    cold_ms: float
    warm_ms: float
    """Median of the warm calls."""
    cpu_ms: float
    """CPU time of one warm call, over all threads."""
    peak_mb: float


@dataclass(frozen=True)
class Size:
    memory_mb: int
    processors: float
    cold_ms: float
    warm_ms: float
    dollars: float
    """Cost of a thousand calls, including cold starts, without the API."""
    fits: bool
    """Whether the model fits into the memory."""


@dataclass(frozen=True)
class Cost:
    sizes: list[Size]
    cheapest: Size | None
    """The cheapest size that fits and is fast enough when warm. None if there is no such size."""
    api_dollars: float
    """Cost of a thousand requests to the API."""
    servers: dict[str, float]
    """Dollars per month by the name of the server."""

    def break_even(self, server: float) -> float:
        """Calls per month above which `server`, in dollars per month, is cheaper than the cheapest size."""
        assert self.cheapest is not None
        return server / (self.cheapest.dollars + self.api_dollars) * 1000


def measure(event: dict[str, Any], function: str, store: str, processors: int, calls: int) -> Measurement:
    """Measure a new process on `processors` of this machine. Raises BadRequest with its last error line if it fails."""
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "measurement.json"
        job = {"event": event, "function": function, "calls": calls, "processors": processors}
        environment = os.environ | {
            "HEARTH_STORE": store,
            "HEARTH_CACHE_DIR": f"{scratch}/cache",
            "HEARTH_THREADS": str(processors),
            "HEARTH_LOG_LEVEL": "ERROR",
        }
        command = [sys.executable, "-m", "hearth_build.cloud.cost_probe", str(result)]
        process = subprocess.run(command, input=json.dumps(job), env=environment, capture_output=True, text=True)
        if process.returncode:
            raise BadRequest(f"The model could not be measured: {process.stderr.strip().splitlines()[-1]}")
        return Measurement(**json.loads(result.read_text()))


def read_prices(path: Path) -> dict[str, Any]:
    """Raises BadRequest, which names the missing price."""
    prices = tomllib.loads(path.read_text(encoding="utf-8"))
    for table, name in NEEDED_PRICES:
        if not isinstance(prices.get(table, {}).get(name), float | int):
            raise BadRequest(f"{path}: [{table}] has no price `{name}`")
    return prices


def estimate_cost(
    measurements: dict[int, Measurement],
    prices: dict[str, Any],
    *,
    architecture: str,
    cold_rate: float,
    max_warm_ms: float,
) -> Cost:
    """Compute the cost of each size from measurements by number of processors, which must include 1."""
    sizes = []
    for processors in PROCESSORS:
        measurement = measurements.get(max(1, int(processors)))
        if measurement is None:
            continue
        memory = round(processors * MEMORY_PER_CPU_MB)
        slowdown = 1 / processors if processors < 1 else 1
        warm = measurement.cpu_ms * slowdown if processors < 1 else measurement.warm_ms
        cold = measurement.cold_ms * slowdown
        seconds = ((1 - cold_rate) * warm + cold_rate * cold) / 1000
        dollars = 1000 * (seconds * memory / 1024 * prices["lambda"][architecture] + prices["lambda"]["request"])
        sizes.append(Size(memory, processors, cold, warm, dollars, memory >= measurement.peak_mb * HEADROOM))
    suitable = [size for size in sizes if size.fits and size.warm_ms <= max_warm_ms]
    cheapest = min(suitable, key=lambda size: (round(size.dollars, 6), size.warm_ms), default=None)
    return Cost(sizes, cheapest, 1000 * prices["api"]["request"], dict(prices.get("servers", {})))


def markdown(cost: Cost) -> str:
    """A Markdown table of the sizes and, if a size is suitable, one that compares it with servers."""
    lines = [
        "| memory, MB | processors | cold, ms | warm, ms | $ per 1,000 calls | |",
        "|---:|---:|---:|---:|---:|---|",
    ]
    for size in cost.sizes:
        note = "cheapest" if size is cost.cheapest else "" if size.fits else "too small for the model"
        method = " (computed)" if size.processors < 1 else ""
        lines.append(
            f"| {size.memory_mb} | {size.processors:g}{method} | {size.cold_ms:.0f} | {size.warm_ms:.2f} "
            f"| {size.dollars:.6f} | {note} |"
        )
    if cost.cheapest:
        api = f"REST API (${cost.api_dollars:.4f} per 1,000) included"
        lines += [
            "",
            f"| always-on server | $ per month | cheaper above this many calls per month, {api} |",
        ]
        lines += ["|---|---:|---:|"]
        lines += [f"| {name} | {price:.2f} | {cost.break_even(price):,.0f} |" for name, price in cost.servers.items()]
    return "\n".join(lines)


def plot(cost: Cost, title: str, path: Path) -> None:
    """Plot cost and time by memory, and the monthly bill by calls beside always-on servers."""
    import matplotlib.pyplot as plt
    import numpy as np

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    memory = [size.memory_mb for size in cost.sizes]
    left.plot(memory, [size.dollars * 1000 for size in cost.sizes], "o-", color="tab:blue")
    left.set(xlabel="memory, MB", ylabel="$ per million calls", title=title, ylim=(0, None))
    times = left.twinx()
    times.plot(memory, [size.warm_ms for size in cost.sizes], "s--", color="tab:orange")
    times.set(ylabel="warm call, ms (dashed)", ylim=(0, None))
    if cost.cheapest:
        max_calls = 2 * max(map(cost.break_even, cost.servers.values()), default=1e6)
        calls = np.linspace(0, max_calls, 50)
        bills = calls / 1000 * (cost.cheapest.dollars + cost.api_dollars)
        right.plot(calls / 1e6, bills, label="Lambda and REST API")
        for name, price in cost.servers.items():
            right.axhline(price, ls=":", color="grey")
            right.annotate(name, (0, price), va="bottom", fontsize=8)
        right.set(xlabel="million calls per month", ylabel="$ per month", title=f"at {cost.cheapest.memory_mb} MB")
        right.legend(loc="lower right")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def make_event(path: str, body: bytes, content_type: str) -> dict[str, Any]:
    """Build the event that a REST API sends to its function for a POST request."""
    import base64

    return {
        "resource": "/{proxy+}",
        "httpMethod": "POST",
        "path": path,
        "headers": {"content-type": content_type},
        "multiValueHeaders": {"content-type": [content_type]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": {"requestId": "cost", "stage": "prod", "identity": {"sourceIp": "127.0.0.1"}},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def processors_to_measure() -> Sequence[int]:
    """Whole numbers of processors that this machine has enough of."""
    available = len(os.sched_getaffinity(0))
    return [int(processors) for processors in PROCESSORS if 1 <= processors <= available]


def median_of(runs: Sequence[Measurement]) -> Measurement:
    """The median of each time over several processes, and the maximum of their memory."""
    return Measurement(
        statistics.median(run.cold_ms for run in runs),
        statistics.median(run.warm_ms for run in runs),
        statistics.median(run.cpu_ms for run in runs),
        max(run.peak_mb for run in runs),
    )
