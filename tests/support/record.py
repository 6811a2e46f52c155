"""Sections of docs/testing/results.md: what a long run found, with the commit, versions, seed and command that made it."""

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
"""Of the run; commits that came while it went on are not what it ran."""
MATTERING = ("onnxruntime", "numpy", "pillow", "av", "tokenizers", "fastapi", "mangum", "msgspec")


def record(title: str, command: str, text: str, *, seed: int | None = None) -> None:
    """Write `text` (Markdown) as the section `title`, in the place of its former one, and print it."""
    git = ["git", "log", "-1", "--format=%h", f"--before=@{STARTED}"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    versions = ", ".join(f"{name} {version(name)}" for name in MATTERING)
    about = [f"`{command}`", f"{datetime.now(UTC):%Y-%m-%d}", f"commit {commit}"]
    about += [f"seed {seed}"] if seed is not None else []
    about += [f"Python {platform.python_version()}, {versions}"]
    section = f"## {title}\n\n{'; '.join(about)}.\n\n{text.strip()}\n"
    print(section)
    former = RESULTS.read_text() if RESULTS.exists() else INTRODUCTION
    parts = re.split(r"(?m)^(?=## )", former)
    kept = [part for part in parts[1:] if not part.startswith(f"## {title}\n")]
    whole = [parts[0].rstrip() + "\n", *(part.rstrip() + "\n" for part in sorted([*kept, section]))]
    RESULTS.write_text("\n".join(whole))
