"""Sections of docs/testing/results.md: the results of long runs, with their commit, versions, seed and command."""

from __future__ import annotations

import platform
import re
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import version

from tests.support import ROOT

RESULTS = ROOT / "docs/testing/results.md"
INTRODUCTION = """# Results

What long runs found; CI runs a short form of each. Every section names the command that writes it anew.
"""
STARTED = int(time.time())
"""Time at which the run started; commits made during the run are not part of it."""
PACKAGES = ("onnxruntime", "numpy", "pillow", "av", "tokenizers", "fastapi", "mangum", "msgspec")


def record(title: str, command: str, text: str, *, seed: int | None = None) -> None:
    """Print `text` (Markdown) and write it as the section `title`, replacing the former one."""
    git = ["git", "log", "-1", "--format=%h", f"--before=@{STARTED}"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    facts = [f"`{command}`", f"{datetime.now(UTC):%Y-%m-%d}", f"commit {commit}"]
    facts += [f"seed {seed}"] if seed is not None else []
    facts += [f"Python {platform.python_version()}, {versions}"]
    section = f"## {title}\n\n{'; '.join(facts)}.\n\n{text.strip()}\n"
    print(section)
    former = RESULTS.read_text() if RESULTS.exists() else INTRODUCTION
    parts = re.split(r"(?m)^(?=## )", former)
    others = [part for part in parts[1:] if not part.startswith(f"## {title}\n")]
    document = [parts[0].rstrip() + "\n", *(part.rstrip() + "\n" for part in sorted([*others, section]))]
    RESULTS.write_text("\n".join(document))
