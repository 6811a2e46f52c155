"""Number and size of the modules that each handler imports, and of which packages they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.kept_fast.compare import Figures
from tests.kept_fast.process import environment
from tests.layers import FUNCTIONS, ROOT
from tests.requests import rest_event

HERE = Path(__file__).parent
WEB = ("catalog", "text_classification", "object_tracking")
"""Functions whose HTTP side is imported too: with no model, with texts, with films. It takes a second each."""


def of_folder(folder: Path, name: str, *, web: bool) -> dict[str, float | list[str]]:
    """The figures of the function whose app.py lies in `folder`, called `name`."""
    command: list[str | Path] = [sys.executable, HERE / "process_imports.py", folder]
    command += [json.dumps(rest_event("GET", "/nowhere"))] if web else []
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    found: Mapping[str, Mapping[str, str]] = json.loads(run.stdout.splitlines()[-1])
    figures: dict[str, float | list[str]] = {}
    for kind, modules in found.items():
        tops = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names - {"app"}
        ours = [module for module in modules if module.partition(".")[0] == "hearth"]
        figures |= {
            f"{name}, {kind}/modules": len(modules),
            f"{name}, {kind}/hearth modules": len(ours),
            f"{name}, {kind}/module bytes": sum(os.path.getsize(path) for path in modules.values() if path),
            f"{name}, {kind}/packages": sorted(top for top in tops if not top.startswith("_")),
        }
    return figures


def measure() -> Figures:
    """Of all functions."""
    figures: dict[str, float | list[str]] = {}
    for name in sorted(FUNCTIONS):
        figures |= of_folder(ROOT / "functions" / name, name, web=name in WEB)
    return figures
