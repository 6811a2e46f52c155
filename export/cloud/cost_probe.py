"""A new process that handles an event as Lambda would: `hearth cost` starts it and reads the file it writes.

Standard input is a JSON object with the event, the function's folder, the number of warm calls and of processors.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import statistics
import sys
import time
from pathlib import Path


def main(result: Path) -> None:
    # The time since the process started, because the interpreter's own start is paid for as well: field 22 of stat.
    started = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    job = json.load(sys.stdin)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: job["processors"]])
    handler = importlib.import_module(f"hearth_functions.{job['function']}.app").handler
    response = handler(job["event"], None)
    cold_ms = (time.clock_gettime(time.CLOCK_BOOTTIME) - started) * 1000
    if response["statusCode"] != 200:
        sys.exit(f"status {response['statusCode']}: {response['body'][:300]}")
    warm_times = []
    cpu_start = time.process_time()
    for _ in range(job["calls"]):
        start = time.perf_counter()
        handler(job["event"], None)
        warm_times.append((time.perf_counter() - start) * 1000)
    cpu_ms = (time.process_time() - cpu_start) * 1000 / job["calls"]
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    measurement = {"cold_ms": cold_ms, "warm_ms": statistics.median(warm_times), "cpu_ms": cpu_ms, "peak_mb": peak_mb}
    result.write_text(json.dumps(measurement))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
