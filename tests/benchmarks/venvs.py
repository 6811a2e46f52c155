"""Peers' packages, each set in an environment of its own."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.benchmarks.area import WORK, Missing
from tests.support.layers import python313

USED: set[str] = set()
"""What was asked for since the area began; the runner keeps it with each round."""
FIRST = "torch=="
"""Installed before the rest, which would pull in a build for graphics cards."""


def venv(name: str, *requirements: str, python: str = "3.11") -> Path:
    """The Python of an environment with these packages, made once. Raises Missing where that fails."""
    digest = hashlib.sha256("\n".join((python, *requirements)).encode()).hexdigest()[:12]
    folder = WORK / "venvs" / f"{name}-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _make(folder, requirements, python)
    USED.update(requirements)
    return folder / "bin/python"


def _make(folder: Path, requirements: tuple[str, ...], python: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _run(_interpreter(python), "-m", "venv", folder)
    pip = (folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    for some in (
        [wanted for wanted in requirements if wanted.startswith(FIRST)],
        [wanted for wanted in requirements if not wanted.startswith(FIRST)],
    ):
        if some:
            _run(*pip, *some)
    (folder / "complete").touch()


def _interpreter(version: str) -> str:
    if version == "3.13":
        return str(python313())
    for found in (shutil.which(f"python{version}"), *Path.home().glob(f".pyenv/versions/{version}.*/bin/python")):
        if found and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0:
            return str(found)
    raise Missing(f"there is no Python {version} here")


def _run(*command: str | Path) -> None:
    found = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if found.returncode:
        raise Missing(f"it could not be installed: {(found.stderr.strip().splitlines() or ['no reason'])[-1][:200]}")
