"""Number and size of the modules that each handler imports, and of which packages they are."""

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
from tests.support.layers import FUNCTIONS, ROOT
from tests.support.requests import rest_event

HERE = Path(__file__).parent
NOWHERE = rest_event("GET", "/nowhere")
WEB = {
    "catalog": NOWHERE,
    "object_tracking": NOWHERE,
    "text_classification": rest_event("POST", "/models/sentiment-en", json.dumps({"inputs": "a great movie"})),
}
"""HTTP events of some functions, whose imports are counted too: two that only the web framework answers, and one that a
model does, with what it is run by. It takes a second each."""


def of_folder(folder: Path, name: str, event: Mapping[str, Any] | None = None) -> dict[str, float | list[str]]:
    """The figures of the function whose app.py lies in `folder`, called `name`; with an HTTP event its answer's too."""
    command: list[str | Path] = [sys.executable, HERE / "process_imports.py", folder]
    command += [json.dumps(event)] if event else []
    with tempfile.TemporaryDirectory(prefix="hearth-kept-") as made:
        make_text_artifact(Path(made) / "store")
        variables = {"HEARTH_STORE": (Path(made) / "store").as_uri(), "HEARTH_CACHE_DIR": f"{made}/cache"}
        run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment(**variables))
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
        figures |= of_folder(ROOT / "functions" / name, name, WEB.get(name))
    return figures
