"""What Lambda provides and SAM builds: Python 3.13, the runtime client, the emulator, the layers.

Everything is built once under `.tools/`, and built again when its sources change.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hearth.task_table import TASKS
from tests.support import ROOT
from tests.tools import tool

TOOLS = ROOT / ".tools"
INPUT_LAYERS = {
    "text": (),
    "table": (),
    "tensors": (),
    "image": ("vision", "video"),
    "audio": ("audio", "video"),
    "video": ("vision", "video"),
}
"""The layers that decode each kind of input; FFmpeg, in `video`, also decodes HEIC, AVIF and the sound of phones."""
TASK_FUNCTIONS = {row.function: ("core", *INPUT_LAYERS[row.input], "runtime") for row in TASKS.values()}
SHARED = "shared"
"""The function that serves every task; its code is the whole folder."""
FUNCTIONS = {
    **dict.fromkeys(("catalog", "release"), ("core", "runtime")),
    **TASK_FUNCTIONS,
    SHARED: ("core", "vision", "audio", "video", "runtime"),
}
"""The layers of each function, as template.yaml must list them."""
HANDLER = "hearth.aws_lambda.main.handler"
RUNTIME_CLIENT = ("awslambdaric==4.2.2", "boto3==1.44.5")
"""The packages that AWS puts into /var/runtime."""


def code_of(function: str) -> Path:
    """Return the folder that is /var/task of a function."""
    return ROOT / "functions" / ("" if function == SHARED else function)


@functools.cache
def python313() -> Path:
    """Return the interpreter of Lambda's python3.13. Raises FileNotFoundError with what to install."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which("python3.13"), *sorted(versions.glob("3.13.*/bin/python3.13"), reverse=True)]
    for candidate in candidates:
        # pyenv has a shim for versions that are installed but not selected; running it fails.
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True).returncode == 0:
            return Path(candidate)
    raise FileNotFoundError("python3.13 is neither on PATH nor under pyenv: pyenv install 3.13")


def emulator_binary() -> Path:
    """Return the Runtime Interface Emulator that SAM CLI includes."""
    return next(tool("sam").glob("lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-x86_64"))


def runtime_client() -> Path:
    """Return a folder with awslambdaric and boto3 for Python 3.13."""

    def build(folder: Path) -> None:
        command = [python313(), "-m", "pip", "install", "--quiet", "--target", folder, *RUNTIME_CLIENT]
        subprocess.run(command, check=True)

    return build_once("runtime-client", "".join(RUNTIME_CLIENT).encode(), build)


def layer(name: str, architecture: str = "x86_64") -> Path:
    """Return the folder that is /opt when the function has only this layer."""
    root = ROOT / "layers"
    sources = [root / "build.py", *(root / ("runtime" if name == "runtime" else f"wheels/{name}")).rglob("*")]
    content = b"".join(
        f"{path.relative_to(root)}\0".encode() + path.read_bytes()
        for path in sorted(sources)
        if path.is_file() and path.suffix != ".pyc"
    )

    def build(folder: Path) -> None:
        # The builder compiles with the python3.13 on PATH.
        path = f"{python313().parent}{os.pathsep}{os.environ['PATH']}"
        command = [sys.executable, root / "build.py", name, folder, architecture]
        subprocess.run(command, check=True, env=os.environ | {"PATH": path})

    return build_once(f"layer-{name}" if architecture == "x86_64" else f"{architecture}-layer-{name}", content, build)


def build_once(name: str, content: bytes, build: Callable[[Path], None]) -> Path:
    """Return `.tools/<name>-<hash of content>`; if it does not exist, let `build` fill it and remove older ones."""
    folder = TOOLS / f"{name}-{hashlib.sha256(content).hexdigest()[:16]}"
    with _locked(TOOLS / f"{name}.lock"):
        if not folder.exists():
            for stale in TOOLS.glob(f"{name}-*"):
                shutil.rmtree(stale)
            partial = TOOLS / f"{name}-partial"
            build(partial)
            partial.rename(folder)
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
