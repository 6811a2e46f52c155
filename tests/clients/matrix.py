"""The table of docs/clients.md, made by a run: `python -m tests.clients.matrix` writes matrix.md beside this."""

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
"""By the file of their cases: the package, and the dialect that it speaks."""


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
        words, _, arguments = str(case.get("name")).removeprefix("test_").partition("[")
        server = next((server for server in SERVERS if arguments.startswith(server)), "")
        if case.find("skipped") is not None:
            continue
        passed[name, server] += 1
        said = words.replace("_", " ")
        if said not in cases[name]:
            cases[name].append(said)
    head = ["client", "version", "dialect", *(f"through {server}" for server in SERVERS)]
    rows = [
        [package, pinned(package), dialect, *(str(passed[name, server] or "–") for server in SERVERS)]
        for name, (package, dialect) in CLIENTS.items()
    ]
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    for name, (package, _) in CLIENTS.items():
        lines += ["", f"**{package}**: {'; '.join(cases[name])}."]
    return "\n".join(lines) + "\n"


def pinned(package: str) -> str:
    """The installed version; of a client in an environment of its own, the one that its lock file says."""
    lock = HERE.parent / "tools" / f"{package}.txt"
    if lock.exists() and (found := re.search(rf"^{package}==(\S+)", lock.read_text(), re.MULTILINE)):
        return found[1]
    return version(package)


if __name__ == "__main__":
    main()
