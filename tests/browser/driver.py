"""Playwright and the browsers that it drives, or the reason to skip."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Playwright


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
    with sync_playwright() as playwright:
        yield playwright
