"""The short form of `python -m tests.fuzz`, and that it would find something."""

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
RUNS, LEAST = 2000, 50
"""Of a target, and of one that is slow on a busy machine."""


def test_nothing_but_our_errors_comes_out_of_any_parser_or_decoder() -> None:
    command = [sys.executable, "-m", "tests.fuzz", *TARGETS, "control", "--runs", str(RUNS), "--seconds", "1"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    rows = [line.strip("| ").split(" | ") for line in run.stdout.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows] == [*TARGETS, "control"], run.stderr
    assert [row[0] for row in rows if row[-1] != "none"] == ["control"], run.stdout
    assert all(int(row[1].replace(",", "")) >= LEAST for row in rows[:-1])
    assert "ZeroDivisionError" in run.stdout
    assert run.returncode == 1
