"""Bytes of each artifact of the zoo."""

from __future__ import annotations

from pathlib import Path

from hearth_build import ZOO
from tests.kept_fast.compare import Figures


def measure(zoo: Path = ZOO) -> Figures:
    """Of the version that the alias `prod` has, or rather of all that lie there: they are one each."""
    return {
        f"{folder.name}/artifact bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        for folder in sorted(zoo.iterdir())
        if folder.is_dir()
    }
