"""The short form of `python -m tests.fuzz`, with a control target that must crash."""

from __future__ import annotations

import subprocess
import sys

from tests.support import ROOT

TARGETS = [
    "json",
    "oip",
    "openai",
    "multipart",
    "native",
    "sagemaker",
    "sound",
    "pictures",
    "video",
    "manifest",
    "aliases",
    "signature",
    "settings",
    "api-keys",
    "tokens",
    "ngrams",
    "events",
    "requests",
]
RUNS, MINIMUM_RUNS = 2000, 50
"""Requested runs of a target, and those that a slow target must reach on a busy machine."""


def test_parsers_and_decoders_raise_only_our_errors() -> None:
    command = [sys.executable, "-m", "tests.fuzz", *TARGETS, "control", "--runs", str(RUNS), "--seconds", "1"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    rows = [line.strip("| ").split(" | ") for line in process.stdout.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows] == [*TARGETS, "control"], process.stderr
    assert [row[0] for row in rows if row[-1] != "none"] == ["control"], process.stdout
    assert all(int(row[1].replace(",", "")) >= MINIMUM_RUNS for row in rows[:-1])
    assert "ZeroDivisionError" in process.stdout
    assert process.returncode == 1
