"""Virtual environments with the packages of the peers."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.benchmarks.area import WORK, Missing
from tests.support.layers import python313

USED: set[str] = set()
"""Requirements used since the area began; the runner saves them with each round."""
FIRST = "torch=="
"""Installed first; the other packages would pull in a build for graphics cards."""


def venv(name: str, *requirements: str, python: str = "3.11") -> Path:
    """The Python of an environment with these packages, created once. Raises Missing if that fails."""
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
    for group in (
        [requirement for requirement in requirements if requirement.startswith(FIRST)],
        [requirement for requirement in requirements if not requirement.startswith(FIRST)],
    ):
        if group:
            _run(*pip, *group)
    (folder / "complete").touch()


def _interpreter(version: str) -> str:
    if version == "3.13":
        return str(python313())
    for candidate in (shutil.which(f"python{version}"), *Path.home().glob(f".pyenv/versions/{version}.*/bin/python")):
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True).returncode == 0:
            return str(candidate)
    raise Missing(f"Python {version} is not installed")


def _run(*command: str | Path) -> None:
    process = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if process.returncode:
        raise Missing(f"it could not be installed: {(process.stderr.strip().splitlines() or ['no reason'])[-1][:200]}")
