"""How much of the modules that guard the doors their tests run, branches counted.

    python -m tests.support.coverage

Fails under 90 % for any of them; `--missing` names the lines.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support import ROOT
from tests.support.record import record

HEARTH = "layers/runtime/python/hearth"
LEAST = 90.0
"""Per cent, lines and branches together."""
MODULES = {
    "store": ("store", "s3"),
    "cache": ("cache", "registry"),
    "manifest": ("manifest",),
    "signature": ("signature", "p256"),
    "events": ("events", "results", "letters", "sqs"),
    "limits": ("keys", "deadline", "strict", "admission", "envelope", "audit"),
}
TESTS = (
    *(f"tests/runtime/test_{name}.py" for name in ("store", "s3", "cache", "registry", "manifest", "signature")),
    *(f"tests/runtime/test_{name}.py" for name in ("events", "entry", "uploads", "faults", "keys", "deadline")),
    *(f"tests/runtime/test_{name}.py" for name in ("envelope", "audit", "bounds", "residue", "http", "settings")),
    *("tests/load/test_load.py", "tests/fuzz"),
)


def measured(tests: tuple[str, ...]) -> dict[str, Any]:
    """coverage.py's report as JSON. Raises AssertionError where a test fails."""
    with tempfile.TemporaryDirectory() as folder:
        data, out = f"--data-file={folder}/data", f"{folder}/report.json"
        run = ["run", "--branch", f"--source={HEARTH}", data, "-m", "pytest"]
        run += ["-n", "0", "-q", "-p", "no:cacheprovider", *tests]  # in this process: workers' would not be counted
        done = subprocess.run([sys.executable, "-m", "coverage", *run], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        report = [sys.executable, "-m", "coverage", "json", data, "-o", out, "-q"]
        subprocess.run(report, cwd=ROOT, check=True)
        return dict(json.loads(Path(out).read_text())["files"])


def table(files: dict[str, Any]) -> tuple[str, list[str]]:
    """(Markdown, the modules below LEAST)."""
    rows, low = ["| part | module | lines | branches | covered |", "|---|---|---|---|---|"], []
    for part, names in MODULES.items():
        for name in names:
            found = files[f"{HEARTH}/{name}.py"]["summary"]
            share = found["percent_covered"]
            lines = f"{found['covered_lines']} of {found['num_statements']}"
            branches = f"{found['covered_branches']} of {found['num_branches']}"
            rows.append(f"| {part} | `{name}` | {lines} | {branches} | {share:.1f} % |")
            low += [name] * (share < LEAST)
    return "\n".join(rows), low


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--missing", action="store_true", help="name the lines and branches that no test runs")
    given = parser.parse_args()
    files = measured(tuple(test for test in TESTS if (ROOT / test).exists()))
    text, low = table(files)
    if given.missing:
        for names in MODULES.values():
            for name in names:
                found = files[f"{HEARTH}/{name}.py"]
                print(name, found["missing_lines"], found["missing_branches"])
        print(text)
        return
    record("Coverage", "python -m tests.support.coverage", text)
    sys.exit(f"below {LEAST:g} %: {', '.join(low)}" if low else 0)


if __name__ == "__main__":
    main()
