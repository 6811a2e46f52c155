"""What an answer costs on Lambda, estimated, for its log line and its audit record."""

from __future__ import annotations

import functools
import os

DOLLARS = {"x86_64": 0.0000166667, "aarch64": 0.0000133334}
"""A gigabyte-second of Lambda by processor architecture, us-east-1, first tier."""
MEMORY = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"


def dollars(ms: float) -> float | None:
    """What an answer cost that took so many milliseconds, by the function's memory; None where this is no Lambda.

    An estimate: of the work alone, which Lambda rounds up to a millisecond, without the cold start and without the
    price of the request itself, which an event of many objects pays once.
    """
    rate = dollars_per_millisecond()
    return round(ms * rate, 12) if rate else None


@functools.cache
def dollars_per_millisecond() -> float:
    """The price of this process's function; 0 where it is none."""
    memory = os.environ.get(MEMORY, "")
    gigabytes = int(memory) / 1024 if memory.isdecimal() else 0  # `settings` refuses any other form
    return gigabytes / 1000 * DOLLARS[os.uname().machine] if gigabytes else 0.0
