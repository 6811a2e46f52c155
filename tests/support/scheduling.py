"""The scheduling policy of this process, which an encoder of films changes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def policy() -> tuple[int, int]:
    """The policy and the priority of the calling thread; children and new threads inherit them."""
    if not hasattr(os, "sched_getscheduler"):  # Linux alone has it
        return 0, 0
    return os.sched_getscheduler(0), os.sched_getparam(0).sched_priority


@contextmanager
def kept_policy() -> Iterator[None]:
    """Restore the policy after the block.

    Where root encodes AV1, SVT-AV1 (4.1) gives the calling thread the highest real-time priority and leaves it so. All
    that a test worker starts later has it too: browsers and servers that let nothing else run.
    """
    number, priority = policy()
    try:
        yield
    finally:
        if policy() != (number, priority):
            os.sched_setscheduler(0, number, os.sched_param(priority))
