"""`hearth serve` at 50, 80, 100, 120 and 200 % of its capacity, then at 50 % again.

    python -m tests.load.overload

Above its capacity it must refuse excess requests at once (429), serve the others, and recover in seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.load.open_loop import QUANTILES, Client, Sample, capacity, open_loop, quantiles, statuses
from tests.support import ROOT
from tests.support.emulator import free_port
from tests.support.record import record

SHARES = (0.5, 0.8, 1.0, 1.2, 2.0)
MODEL, TEXT = "sentiment-en", "this film is a wonderful surprise and I did not expect to love every minute of it " * 4


@contextmanager
def serving(store: Path, environment: Mapping[str, str]) -> Iterator[int]:
    """Run `hearth serve` and yield its port."""
    with tempfile.TemporaryDirectory() as work:
        port = free_port()
        command = [Path(sys.executable).with_name("hearth"), "serve", "--store", store.as_uri(), "--port", str(port)]
        environ = {**os.environ, "HEARTH_CACHE_DIR": f"{work}/cache", **environment}
        with (Path(work) / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_until_ready(port, process, Path(work) / "log")
            yield port
        finally:
            process.terminate()
            process.wait(20)


def _wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(log.read_text())


async def phases(port: int, seconds: float, seed: int) -> tuple[float, dict[str, list[Sample]]]:
    """Return the capacity in requests per second and the samples of each phase."""
    client = Client(port, f"/models/{MODEL}", json.dumps({"inputs": TEXT}).encode())
    await capacity(client, 2)  # loads the model, warms up
    maximum = await capacity(client, seconds / 2)
    samples = {f"{share:.0%}": await open_loop(client, share * maximum, seconds, seed) for share in SHARES}
    samples["50% again"] = await open_loop(client, 0.5 * maximum, seconds, seed + 1)
    client.close()
    return maximum, samples


def recovery(before: list[Sample], after: list[Sample]) -> float:
    """Seconds from the end of the overload to the due time of the last refused or slow request."""
    slow = 3 * quantiles(before)[2] / 1000
    return max((sample.due for sample in after if sample.status != 200 or sample.seconds > slow), default=0.0)


def table(phase_samples: Mapping[str, list[Sample]]) -> str:
    names = " | ".join(f"p{100 * q:g} ms" for q in QUANTILES)
    rows = [f"| load | sent | 200 | 429 | other | {names} | 429: p50, p99 ms |", "|---" * 10 + "|"]
    for name, samples in phase_samples.items():
        count = statuses(samples)
        served = quantiles([sample for sample in samples if sample.status == 200])
        refused = quantiles([sample for sample in samples if sample.status == 429])
        other = len(samples) - count[200] - count[429]
        times = " | ".join(f"{value:.1f}" for value in served)
        refusals = f"{refused[0]:.1f}, {refused[2]:.1f}" if refused else "-"
        rows.append(f"| {name} | {len(samples)} | {count[200]} | {count[429]} | {other} | {times} | {refusals} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    load_average = os.getloadavg()[0]
    with serving(ROOT / "export" / "zoo", {}) as port:
        maximum, samples = asyncio.run(phases(port, options.seconds, options.seed))
    recovered = recovery(samples["50%"], samples["50% again"])
    summary = (
        f"`hearth serve` with `{MODEL}` and {len(TEXT)} characters per request, its client on the same "
        f"{os.cpu_count()} processors; their load average was {load_average:.1f} before. Capacity: {maximum:.0f} "
        f"requests per second (8 clients without pauses). Arrivals are random; times count from a request's due time. "
        f"After the overload, the last slow or refused request was due {recovered:.2f} s into the 50% load.\n\n"
    )
    record(
        "Load",
        f"python -m tests.load.overload --seconds {options.seconds:g}",
        summary + table(samples),
        seed=options.seed,
    )


if __name__ == "__main__":
    main()
