"""The short form of `python -m tests.hostile.damage`."""

from __future__ import annotations

import subprocess
import sys

from tests.support import ROOT


def test_damaged_media_are_decoded_or_refused() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "tests.hostile.damage", "--files", "150"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert process.returncode == 0, process.stdout[-3000:] + process.stderr[-3000:]
    rows = [line for line in process.stdout.splitlines() if line.startswith(("| picture", "| sound", "| film"))]
    assert [row.split(" | ")[1] for row in rows] == ["150"] * 3
