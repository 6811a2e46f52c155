"""The template's gate: `python -m tests.template.gate` prints what is wrong and exits with 1, or says that all is well.

The raw template goes through cfn-lint and checkov, and so does the CloudFormation that SAM makes of it: circles,
queue visibility and wildcard grants show in the second alone. Then our own rules (rules.py). Works offline.
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
"""Checkov's findings that we live with, each with its reason."""
SAMS_OWN = ("W3005", "W2001")
"""SAM writes dependencies that references imply already, and a parameter's value where the parameter stood."""


def gate(raw: Template) -> list[str]:
    """Everything that is wrong, the fast checks first and the slow ones only where these pass."""
    try:
        translated = translate(raw)
    except ValueError as error:
        return [str(error)]
    if found := findings(translated):
        return found
    with tempfile.TemporaryDirectory() as scratch:
        files = [Path(scratch) / "raw.json", Path(scratch) / "translated.json"]
        for file, template in zip(files, (raw, translated), strict=True):
            file.write_text(json.dumps(template))
        return lint(files[0]) + lint(files[1], ignore=SAMS_OWN) + scan(files)


def lint(file: Path, ignore: tuple[str, ...] = ()) -> list[str]:
    command = [tool("lint") / "bin/cfn-lint", "--regions", "us-east-1", "--format", "parseable"]
    done = _run([*command, *(["--ignore-checks", *ignore] if ignore else []), "--", file])
    return [f"cfn-lint: {line}" for line in done.stdout.splitlines()]


def scan(files: list[Path]) -> list[str]:
    command = [tool("lint") / "bin/checkov", "--framework", "cloudformation", "--skip-download", "--output", "json"]
    done = _run([*command, *(argument for file in files for argument in ("--file", file))])
    report = json.loads(done.stdout)
    failed = report["results"]["failed_checks"]
    found = {
        f"checkov: {check['check_id']} {check['resource']} {check['check_name']}"
        for check in failed
        if check["check_id"] not in ACCEPTED
    }
    unused = set(ACCEPTED) - {check["check_id"] for check in failed}
    return sorted(found) + [f"accepted.json: {check} is found no more: remove it" for check in sorted(unused)]


def _run(command: list[object]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"AWS_DEFAULT_REGION": "us-east-1"}
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)
    if not done.stdout and done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr[-2000:]}")
    return done


if __name__ == "__main__":
    wrong = gate(read())
    print("\n".join(wrong) if wrong else f"{TEMPLATE.name}: nothing is wrong")
    sys.exit(bool(wrong))
