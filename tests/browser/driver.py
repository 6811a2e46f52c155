"""Playwright's driver, a Node process, which is interrupted where its event loop spins."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Playwright

SECONDS, BUSY_SHARE = 10, 0.9
"""A driver that uses this share of a processor for so long is interrupted; the tests leave it mostly idle."""


def skip_or_fail(reason: str) -> None:
    """Skip the tests on a machine without a browser; in CI, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def program_or_skip(package: str) -> str:
    """The path of a browser that Debian's `package` installs."""
    path = shutil.which(package)
    if path is None:
        skip_or_fail(f"{package} is not installed (apt-get install -y --no-install-recommends {package})")
    return str(path)


@contextmanager
def driver() -> Iterator[Playwright]:
    """Run Playwright within the block."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        skip_or_fail("playwright is not installed (the test extra has it)")
    before = set(psutil.Process().children())
    with sync_playwright() as playwright:
        ended = threading.Event()
        for process in set(psutil.Process().children()) - before:
            threading.Thread(target=_interrupt, args=(process, ended), daemon=True).start()
        try:
            yield playwright
        finally:
            ended.set()


def _interrupt(process: psutil.Process, ended: threading.Event) -> None:
    """Stop and continue a process that used a processor without a pause.

    Seen on Linux 6.18 in whole runs: for minutes, the driver did nothing but read the event file of its own loop, until
    a debugger stopped it for a moment. A signal that stops it ends the system call in which it is in the same way.
    """
    with suppress(psutil.NoSuchProcess):
        while not ended.is_set():
            before = process.cpu_times()
            ended.wait(SECONDS)
            now = process.cpu_times()
            if now.user + now.system - before.user - before.system > BUSY_SHARE * SECONDS:
                process.suspend()
                process.resume()
