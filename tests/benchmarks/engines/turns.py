"""Shared code of the engines. It needs only the standard library because each engine runs in its peer's environment."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping


def pin(threads: int) -> None:
    """Keep this process on its first `threads` processors; call it before the engine counts its processors."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    os.environ["OMP_NUM_THREADS"] = str(threads)


def serve(turn: Callable[[], Mapping[str, float]]) -> None:
    """Print that the engine is loaded, then make a measurement for each line read and print its figures as a JSON
    line."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries print to stderr, so that stdout has figures only
    print(json.dumps({"ready": True}), file=out)
    for _ in sys.stdin:
        print(json.dumps(turn()), file=out)


def repeated(call: Callable[[], object], seconds: float = 0.4) -> dict[str, float]:
    """`seconds` of one call, the mean of as many calls as fill `seconds`, and `processor` seconds, which other work on
    the machine hardly changes."""
    count, started, processor = 0, time.perf_counter(), time.process_time()
    while count == 0 or time.perf_counter() - started < seconds:
        call()
        count += 1
    return {
        "seconds": (time.perf_counter() - started) / count,
        "processor": (time.process_time() - processor) / count,
    }


class Tokens:
    """Clock of the tokens of a text: when each arrived."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.times: list[float] = []
        self.processor: list[float] = []

    def record(self) -> None:
        self.times.append(time.perf_counter())
        self.processor.append(time.process_time())

    def figures(self) -> dict[str, float]:
        """`prefill`, the seconds until the first token, `seconds` of each further one, and their `processor`
        seconds."""
        further = len(self.times) - 1
        return {
            "prefill": self.times[0] - self.started,
            "seconds": (self.times[-1] - self.times[0]) / further,
            "processor": (self.processor[-1] - self.processor[0]) / further,
        }


def token_by_token(tokens: Iterable[object]) -> dict[str, float]:
    clock = Tokens()
    for _ in tokens:
        clock.record()
    return clock.figures()
