"""Coverage of the modules that guard the service, with branches.

    python -m tests.support.coverage

Fails if a module is below 90 %; `--missing` prints the lines that no test runs.
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
MINIMUM = 90.0
"""Least coverage of a module in percent, lines and branches together."""
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


def measure(tests: tuple[str, ...]) -> dict[str, Any]:
    """Return the files of coverage.py's JSON report. Raises AssertionError if a test fails."""
    with tempfile.TemporaryDirectory() as folder:
        data, output = f"--data-file={folder}/data", f"{folder}/report.json"
        arguments = ["run", "--branch", f"--source={HEARTH}", data, "-m", "pytest"]
        arguments += [
            "-n",
            "0",
            "-q",
            "-p",
            "no:cacheprovider",
            *tests,
        ]  # in one process: pytest's workers would not be counted
        result = subprocess.run(
            [sys.executable, "-m", "coverage", *arguments], cwd=ROOT, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
        report = [sys.executable, "-m", "coverage", "json", data, "-o", output, "-q"]
        subprocess.run(report, cwd=ROOT, check=True)
        return dict(json.loads(Path(output).read_text())["files"])


def table(files: dict[str, Any]) -> tuple[str, list[str]]:
    """Return a Markdown table and the modules below MINIMUM."""
    rows, low = ["| part | module | lines | branches | covered |", "|---|---|---|---|---|"], []
    for part, names in MODULES.items():
        for name in names:
            summary = files[f"{HEARTH}/{name}.py"]["summary"]
            percent = summary["percent_covered"]
            lines = f"{summary['covered_lines']} of {summary['num_statements']}"
            branches = f"{summary['covered_branches']} of {summary['num_branches']}"
            rows.append(f"| {part} | `{name}` | {lines} | {branches} | {percent:.1f} % |")
            if percent < MINIMUM:
                low.append(name)
    return "\n".join(rows), low


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--missing", action="store_true", help="name the lines and branches that no test runs")
    options = parser.parse_args()
    files = measure(tuple(test for test in TESTS if (ROOT / test).exists()))
    text, low = table(files)
    if options.missing:
        for names in MODULES.values():
            for name in names:
                file = files[f"{HEARTH}/{name}.py"]
                print(name, file["missing_lines"], file["missing_branches"])
        print(text)
        return
    record("Coverage", "python -m tests.support.coverage", text)
    sys.exit(f"below {MINIMUM:g} %: {', '.join(low)}" if low else 0)


if __name__ == "__main__":
    main()
