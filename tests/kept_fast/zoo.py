"""Bytes of each artifact of the zoo."""

from __future__ import annotations

from pathlib import Path

from hearth_build import ZOO
from tests.kept_fast.compare import Figures


def measure(zoo: Path = ZOO) -> Figures:
    """Measure all versions of each model; the zoo has one of each."""
    return {
        f"{folder.name}/artifact bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        for folder in sorted(zoo.iterdir())
        if folder.is_dir()
    }
