"""The environment of a measured process."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.layers import ROOT


def environment(*folders: Path, **variables: str) -> dict[str, str]:
    """This process's environment without the variables of Hearth, AWS and Python; modules come first from `folders` and
    the runtime of this checkout."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("HEARTH_", "AWS_", "PYTHON"))
    }
    path = os.pathsep.join(map(str, [*folders, ROOT / "layers/runtime/python"]))
    return {**inherited, "PYTHONPATH": path, **variables}
