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

from tests.architecture.modules import test_file
from tests.support import ROOT
from tests.support.record import record

HEARTH = Path("layers/runtime/python/hearth")
MINIMUM = 90.0
"""Least coverage of a module in percent, lines and branches together."""
MODULES = {
    "stores": ("storage/file", "storage/s3"),
    "cache": ("models/cache", "models/disk_cache", "models/download", "models/registry"),
    "manifest": ("models/manifest",),
    "signature": ("models/signature", "models/ecdsa_p256"),
    "events": ("async_inference/storage_events", "async_inference/results", "async_inference/dead_letters", "aws/sqs"),
    "limits": (
        "auth/api_keys",
        "auth/token_bucket",
        "deadline",
        "strict_json",
        "tasks/memory_budget",
        "telemetry/audit",
    ),
    "requests": ("http/pipeline", "http/concurrency_limit", "aws_lambda/http_event"),
}
TESTS = (
    *(str(test_file(HEARTH / f"{name}.py")) for names in MODULES.values() for name in names),
    *("tests/runtime/test_residue.py", "tests/load/test_load.py", "tests/fuzz"),
)


def measure(tests: tuple[str, ...]) -> dict[str, Any]:
    """Return the files of coverage.py's JSON report. Raises AssertionError if a test fails."""
    with tempfile.TemporaryDirectory() as folder:
        data, output = f"--data-file={folder}/data", f"{folder}/report.json"
        arguments = ["run", "--branch", f"--source={HEARTH}", data, "-m", "pytest"]
        arguments += ["-n", "0", "-q", "-p", "no:cacheprovider", *tests]  # workers would not be measured
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
    files = measure(TESTS)
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
