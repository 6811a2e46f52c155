"""The table of docs/clients.md: `python -m tests.clients.matrix` runs the tests and writes matrix.md."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

from tests.clients.bridge import FORMS

HERE = Path(__file__).resolve().parent
SERVERS = ("local", *FORMS)
CLIENTS = {
    "test_openai": ("openai", "OpenAI"),
    "test_huggingface_hub": ("huggingface_hub", "native"),
    "test_tritonclient": ("tritonclient", "Open Inference Protocol"),
    "test_kserve": ("kserve", "Open Inference Protocol"),
    "test_sagemaker": ("boto3", "SageMaker"),
}
"""Package and protocol of each client, by the name of its test file."""


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        files = [str(HERE / f"{name}.py") for name in CLIENTS]
        subprocess.run([sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *files], check=True)
        table = matrix(ElementTree.parse(report).getroot())
    (HERE / "matrix.md").write_text(table, encoding="utf-8")
    print(table)


def matrix(report: ElementTree.Element) -> str:
    passed: Counter[tuple[str, str]] = Counter()
    cases: dict[str, list[str]] = {name: [] for name in CLIENTS}
    for case in report.iter("testcase"):
        name = str(case.get("classname")).rpartition(".")[2]
        test_name, _, arguments = str(case.get("name")).removeprefix("test_").partition("[")
        server = next((server for server in SERVERS if arguments.startswith(server)), "")
        if case.find("skipped") is not None:
            continue
        passed[name, server] += 1
        case_name = test_name.replace("_", " ")
        if case_name not in cases[name]:
            cases[name].append(case_name)
    header = ["client", "version", "protocol", *(f"through {server}" for server in SERVERS)]
    rows = [
        [package, pinned(package), protocol, *(str(passed[name, server] or "–") for server in SERVERS)]
        for name, (package, protocol) in CLIENTS.items()
    ]
    lines = ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]
    for name, (package, _) in CLIENTS.items():
        lines += ["", f"**{package}**: {'; '.join(cases[name])}."]
    return "\n".join(lines) + "\n"


def pinned(package: str) -> str:
    """The installed version; for a client with its own environment, the version in its lock file."""
    lock = HERE.parent / "tools" / f"{package}.txt"
    if lock.exists() and (match := re.search(rf"^{package}==(\S+)", lock.read_text(), re.MULTILINE)):
        return match[1]
    return version(package)


if __name__ == "__main__":
    main()
