"""The checks of the template: `python -m tests.template.gate` prints what is wrong and exits with 1, or with 0.

cfn-lint and checkov check the raw template and the CloudFormation that SAM generates from it; circular references,
queue visibility and wildcard grants show only in the latter. Our own rules are in rules/. Works offline.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.template.rules import findings
from tests.template.stack import TEMPLATE, Template, read, translate
from tests.tools import tool

ACCEPTED: dict[str, str] = json.loads(Path(__file__).with_name("accepted.json").read_text())
"""Accepted findings of checkov, with their reasons."""
SAM_WARNINGS = ("W3005", "W2001", "E3005")
"""Warnings that SAM causes: it writes redundant dependencies, replaces parameters by their values, and does not keep
the template's own exceptions."""


def gate(raw: Template) -> list[str]:
    """Everything that is wrong. The slow checks run only if the fast ones pass."""
    try:
        translated = translate(raw)
    except ValueError as error:
        return [str(error)]
    if problems := findings(translated):
        return problems
    with tempfile.TemporaryDirectory() as scratch:
        files = [Path(scratch) / "raw.json", Path(scratch) / "translated.json"]
        for file, template in zip(files, (raw, translated), strict=True):
            file.write_text(json.dumps(template))
        return lint(files[0]) + lint(files[1], ignore=SAM_WARNINGS) + scan(files)


def lint(file: Path, ignore: tuple[str, ...] = ()) -> list[str]:
    command = [tool("lint") / "bin/cfn-lint", "--regions", "us-east-1", "--format", "parseable"]
    process = _run([*command, *(["--ignore-checks", *ignore] if ignore else []), "--", file])
    return [f"cfn-lint: {line}" for line in process.stdout.splitlines()]


def scan(files: list[Path]) -> list[str]:
    command = [tool("lint") / "bin/checkov", "--framework", "cloudformation", "--skip-download", "--output", "json"]
    process = _run([*command, *(argument for file in files for argument in ("--file", file))])
    report = json.loads(process.stdout)
    failed = report["results"]["failed_checks"]
    problems = {
        f"checkov: {check['check_id']} {check['resource']} {check['check_name']}"
        for check in failed
        if check["check_id"] not in ACCEPTED
    }
    unused = set(ACCEPTED) - {check["check_id"] for check in failed}
    return sorted(problems) + [f"accepted.json: {check} no longer occurs: remove it" for check in sorted(unused)]


def _run(command: list[object]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"AWS_DEFAULT_REGION": "us-east-1"}
    process = subprocess.run([str(argument) for argument in command], capture_output=True, text=True, env=environment)
    if not process.stdout and process.returncode:
        raise RuntimeError(f"{command[0]} failed: {process.stderr[-2000:]}")
    return process


if __name__ == "__main__":
    wrong = gate(read())
    print("\n".join(wrong) if wrong else f"{TEMPLATE.name}: nothing is wrong")
    sys.exit(bool(wrong))
