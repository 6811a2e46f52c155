"""Tools whose pins conflict with ours, each in a virtual environment of its own under `.tools/`.

`<name>.txt` beside this file pins a tool; `# python 3.13` in its first line selects that interpreter.
To update a pin: `echo ministack==1.5.33 | uv pip compile --python-version 3.13 --no-annotate - -o ministack.txt`
and restore the first line.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOLS = HERE.parent.parent / ".tools"


def tool(name: str) -> Path:
    """The virtual environment of `name`, installed on first use. Safe in parallel processes."""
    pins = HERE / f"{name}.txt"
    environment, installed = TOOLS / name, TOOLS / name / "installed"
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not installed.exists() or installed.read_text() != digest:
            subprocess.run([_interpreter(pins), "-m", "venv", "--clear", environment], check=True)
            command = [environment / "bin/python", "-m", "pip", "install", "--quiet", "-r", pins]
            subprocess.run(command, check=True)
            installed.write_text(digest)
    return environment


def _interpreter(pins: Path) -> Path:
    if pins.read_text().startswith("# python 3.13"):
        from tests.support.layers import python313  # imports this module in turn

        return python313()
    return Path(sys.executable)
