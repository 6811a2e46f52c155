"""Estimates the cost of a request on Lambda for its log line and audit record."""

from __future__ import annotations

import functools
import os

DOLLARS = {"x86_64": 0.0000166667, "aarch64": 0.0000133334}
"""Processor architecture -> dollars per gigabyte-second of Lambda, us-east-1, first tier."""
MEMORY = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"


def dollars(ms: float) -> float | None:
    """The cost of a request that took this many milliseconds, by the function's memory; None outside of Lambda.

    This is an estimate of the compute time, without rounding up to a millisecond, the cold start, or the price per
    request, which an event of many objects pays once.
    """
    rate = dollars_per_millisecond()
    return round(ms * rate, 12) if rate else None


@functools.cache
def dollars_per_millisecond() -> float:
    """The price of this function; 0 outside of Lambda."""
    memory = os.environ.get(MEMORY, "")
    gigabytes = int(memory) / 1024 if memory.isdecimal() else 0  # `settings` refuses any other format
    return gigabytes / 1000 * DOLLARS[os.uname().machine] if gigabytes else 0.0
