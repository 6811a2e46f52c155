"""Number and size of the modules that each handler imports, and their packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.kept_fast.compare import Figures
from tests.kept_fast.process import environment
from tests.support.artifacts import make_text_artifact
from tests.support.layers import FUNCTIONS, code_of
from tests.support.requests import rest_event

HERE = Path(__file__).parent
UNKNOWN_ROUTE = rest_event("GET", "/nowhere")
HTTP_EVENTS = {
    "catalog": UNKNOWN_ROUTE,
    "object_tracking": UNKNOWN_ROUTE,
    "shared": rest_event("POST", "/models/sentiment-en", json.dumps({"inputs": "a great movie"})),
    "text_classification": rest_event("POST", "/models/sentiment-en", json.dumps({"inputs": "a great movie"})),
}
"""HTTP events of some functions, whose imports also count: two that only the router handles, and two that run a model.
Each takes a second."""


def measure_function(folder: Path, name: str, event: Mapping[str, Any] | None = None) -> dict[str, float | list[str]]:
    """The figures of the function in `folder`, called `name`; with an HTTP event, also those of its response."""
    command: list[str | Path] = [sys.executable, HERE / "process_imports.py", folder]
    command += [json.dumps(event)] if event else []
    with tempfile.TemporaryDirectory(prefix="hearth-kept-") as scratch:
        make_text_artifact(Path(scratch) / "store")
        variables = {"HEARTH_STORE": (Path(scratch) / "store").as_uri(), "HEARTH_CACHE_DIR": f"{scratch}/cache"}
        process = subprocess.run(command, capture_output=True, text=True, check=True, env=environment(**variables))
    imports: Mapping[str, Mapping[str, str]] = json.loads(process.stdout.splitlines()[-1])
    figures: dict[str, float | list[str]] = {}
    for kind, modules in imports.items():
        top_levels = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - {"app"}
        ours = [module for module in modules if module.partition(".")[0] == "hearth"]
        figures |= {
            f"{name}, {kind}/modules": len(modules),
            f"{name}, {kind}/hearth modules": len(ours),
            f"{name}, {kind}/module bytes": sum(os.path.getsize(path) for path in modules.values() if path),
            f"{name}, {kind}/packages": sorted(top_level for top_level in top_levels if not top_level.startswith("_")),
        }
    return figures


def measure() -> Figures:
    """The figures of all functions."""
    figures: dict[str, float | list[str]] = {}
    for name in sorted(FUNCTIONS):
        figures |= measure_function(code_of(name), name, HTTP_EVENTS.get(name))
    return figures
