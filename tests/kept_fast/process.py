"""The surroundings of a process that is measured."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.layers import ROOT


def environment(*folders: Path, **variables: str) -> dict[str, str]:
    """This process's environment without settings of Hearth's and AWS's; modules come from `folders` and the runtime's
    of this checkout first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEARTH_", "AWS_", "PYTHON"))}
    path = os.pathsep.join(map(str, [*folders, ROOT / "layers/runtime/python"]))
    return {**kept, "PYTHONPATH": path, **variables}
