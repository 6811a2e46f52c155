"""What the engines' processes share; needs the standard library alone, for each runs in its peer's environment."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping


def pin(threads: int) -> None:
    """Keep this process on its first `threads` processors; call it before an engine counts them."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    os.environ["OMP_NUM_THREADS"] = str(threads)


def serve(turn: Callable[[], Mapping[str, float]]) -> None:
    """Say that the engine is loaded, then make a measurement for each line read; figures go out a JSON line each."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no figure
    print(json.dumps({"ready": True}), file=out)
    for _ in sys.stdin:
        print(json.dumps(turn()), file=out)


def repeated(call: Callable[[], object], seconds: float = 0.4) -> dict[str, float]:
    """`seconds` of one call, the mean of as many as fill `seconds`, and seconds of the `processor` for it, which other
    work on the machine hardly changes."""
    count, started, processor = 0, time.perf_counter(), time.process_time()
    while count == 0 or time.perf_counter() - started < seconds:
        call()
        count += 1
    return {
        "seconds": (time.perf_counter() - started) / count,
        "processor": (time.process_time() - processor) / count,
    }


class Tokens:
    """When each token of a text came."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.times: list[float] = []
        self.processor: list[float] = []

    def came(self) -> None:
        self.times.append(time.perf_counter())
        self.processor.append(time.process_time())

    def figures(self) -> dict[str, float]:
        """Seconds until the first token, `prefill`, and `seconds` of each further one; `processor` as `repeated`."""
        further = len(self.times) - 1
        return {
            "prefill": self.times[0] - self.started,
            "seconds": (self.times[-1] - self.times[0]) / further,
            "processor": (self.processor[-1] - self.processor[0]) / further,
        }


def token_by_token(tokens: Iterable[object]) -> dict[str, float]:
    watch = Tokens()
    for _ in tokens:
        watch.came()
    return watch.figures()
