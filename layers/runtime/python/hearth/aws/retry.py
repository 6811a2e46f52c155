"""Attempts."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from typing import TypeVar

from hearth.deadline import near
from hearth.errors import IntegrityError, StoreError

ATTEMPTS = 5


PASSING = (429, 500, 502, 503, 504)
"""Statuses of a service that may answer when it is asked again."""


T = TypeVar("T")


class TransientError(StoreError):
    """Worth another attempt."""


def retrying(once: Callable[[], T], deadline: float | None) -> T:
    """`once()`, again after passing faults: at most ATTEMPTS times, and not past the deadline or the request's end.

    boto3 retries neither a body that was cut half-way nor one whose checksum is wrong (security.md 2.6), so
    these are retried here. Raises StoreError or IntegrityError after the last attempt.
    """
    for attempt in itertools.count(1):
        try:
            return once()
        except (OSError, TransientError, IntegrityError) as error:
            if isinstance(error, OSError) and error.errno in _LOCAL_FAULTS:
                raise
            pause = (1 + os.urandom(1)[0] / 255) * 0.025 * 2**attempt  # so that callers do not come back all at once
            late = near(pause) or (deadline is not None and time.monotonic() + pause > deadline)
            if attempt == ATTEMPTS or late:
                if isinstance(error, StoreError | IntegrityError):
                    raise
                reason = f"{type(error).__name__}: {error}"
                raise StoreError(f"the store did not answer after {attempt} attempts ({reason})") from error
            time.sleep(pause)
    raise AssertionError("unreachable")


# Faults of this machine's disk: asking the store again does not help.
_LOCAL_FAULTS = frozenset({13, 17, 27, 28, 30, 122})  # EACCES EEXIST EFBIG ENOSPC EROFS EDQUOT
