"""A token bucket."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Bucket:
    """A token bucket. `rate` is in tokens a second, `burst` what it holds."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens, self._when = float(burst), clock()
        self._lock = threading.Lock()

    def take(self) -> float:
        """0: a token was taken; else the seconds until there will be one."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._when) * self._rate)
            self._when = now
            if self._tokens < 1:
                return (1 - self._tokens) / self._rate
            self._tokens -= 1
            return 0
