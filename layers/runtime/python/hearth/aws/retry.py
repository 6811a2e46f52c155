"""Retries of what may pass."""

from __future__ import annotations

import errno
import itertools
import os
import time
from collections.abc import Callable
from typing import TypeVar

from hearth.deadline import expires_within
from hearth.errors import IntegrityError, StoreError

T = TypeVar("T")
ATTEMPTS = 5
RETRYABLE_STATUSES = (429, 500, 502, 503, 504)
"""HTTP statuses of a service that may answer when it is asked again."""
_LOCAL_ERRORS = frozenset({errno.EACCES, errno.EEXIST, errno.EFBIG, errno.ENOSPC, errno.EROFS, errno.EDQUOT})
"""Faults of this machine's disk: asking the store again does not help."""


class TransientError(StoreError):
    """Worth another attempt."""


def retry(attempt: Callable[[], T], deadline: float | None) -> T:
    """Return `attempt()`, tried again after passing faults: at most ATTEMPTS times, and not past the deadline or the
    request's end.

    A body that was cut half-way and one with a wrong checksum are tried again too, which boto3 does not do.
    Raises StoreError or IntegrityError after the last attempt.
    """
    for number in itertools.count(1):
        try:
            return attempt()
        except (OSError, TransientError, IntegrityError) as error:
            if isinstance(error, OSError) and error.errno in _LOCAL_ERRORS:
                raise
            pause = (1 + os.urandom(1)[0] / 255) * 0.025 * 2**number  # random, so that callers do not return together
            late = expires_within(pause) or (deadline is not None and time.monotonic() + pause > deadline)
            if number == ATTEMPTS or late:
                if isinstance(error, StoreError | IntegrityError):
                    raise
                reason = f"{type(error).__name__}: {error}"
                raise StoreError(f"the store did not answer after {number} attempts ({reason})") from error
            time.sleep(pause)
    raise AssertionError("unreachable")
