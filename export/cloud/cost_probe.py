"""One new process that answers as a Lambda would: `hearth cost` starts it, and reads what it wrote.

An order comes as JSON on standard input: the event, the function's folder, how many warm calls, how many processors.
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


def main(told: Path) -> None:
    # Since the process began: the interpreter's own start is paid for as well.
    began = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    order = json.load(sys.stdin)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: order["processors"]])
    handler = importlib.import_module(f"hearth_functions.{order['function']}.app").handler
    answer = handler(order["event"], None)
    cold = (time.clock_gettime(time.CLOCK_BOOTTIME) - began) * 1000
    if answer["statusCode"] != 200:
        sys.exit(f"status {answer['statusCode']}: {answer['body'][:300]}")
    warm = []
    processor = time.process_time()
    for _ in range(order["calls"]):
        start = time.perf_counter()
        handler(order["event"], None)
        warm.append((time.perf_counter() - start) * 1000)
    processor = (time.process_time() - processor) * 1000 / order["calls"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"cold": cold, "warm": statistics.median(warm), "processor": processor, "peak_mb": peak}
    told.write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
