"""Retries after transient errors."""

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
"""Largest number of attempts."""
RETRYABLE_STATUSES = (429, 500, 502, 503, 504)
"""HTTP statuses of errors that may be transient."""
_LOCAL_ERRORS = frozenset({errno.EACCES, errno.EEXIST, errno.EFBIG, errno.ENOSPC, errno.EROFS, errno.EDQUOT})
"""Errors of the local disk, for which a retry does not help."""


class TransientError(StoreError):
    """An error that may disappear at the next attempt."""


def retry(attempt: Callable[[], T], deadline: float | None) -> T:
    """Return `attempt()`, retried after transient errors: at most ATTEMPTS times, and not past `deadline` or the
    deadline of the request.

    Unlike in boto3, truncated bodies and bodies with a wrong checksum are retried too. Raises StoreError or
    IntegrityError after the last attempt.
    """
    for number in itertools.count(1):
        try:
            return attempt()
        except (OSError, TransientError, IntegrityError) as error:
            if isinstance(error, OSError) and error.errno in _LOCAL_ERRORS:
                raise
            # The pause is random, so that callers do not retry at the same time.
            pause = (1 + os.urandom(1)[0] / 255) * 0.025 * 2**number
            is_too_late = expires_within(pause) or (deadline is not None and time.monotonic() + pause > deadline)
            if number == ATTEMPTS or is_too_late:
                if isinstance(error, StoreError | IntegrityError):
                    raise
                reason = f"{type(error).__name__}: {error}"
                raise StoreError(f"the store did not respond after {number} attempts ({reason})") from error
            time.sleep(pause)
    raise AssertionError("unreachable")
