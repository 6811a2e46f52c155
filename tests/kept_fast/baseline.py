"""The committed baseline, and its groups of figures."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.kept_fast import cold, imports, warm, zoo
from tests.kept_fast.compare import Figures

FILE = Path(__file__).with_name("baseline.json")
GROUPS: Mapping[str, Callable[[], Figures]] = {
    "imports": imports.measure,
    "zoo": zoo.measure,
    "cold": cold.measure,
    "memory": lambda: warm.memory().figures,
    "counts": lambda: warm.counts().figures,
}
INTERPRETER_GROUPS = ("imports", "memory", "counts")
"""Groups that are comparable only under the Python and processor of the baseline."""


def interpreter() -> str:
    return f"CPython {sys.version_info[0]}.{sys.version_info[1]}, {platform.machine()}"


def load() -> dict[str, Any]:
    """The figures by group; `made with` is the interpreter."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def save(baseline: Mapping[str, Any]) -> None:
    FILE.write_text(json.dumps({**baseline, "made with": interpreter()}, indent=1, sort_keys=True) + "\n")
