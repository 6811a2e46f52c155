"""Changes of an artifact that its manifest then describes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from hearth.models.download import describe
from hearth.models.manifest import Manifest, dump, parse


def write_golden(folder: Path, golden: dict[str, Any]) -> None:
    (folder / "golden.json").write_text(json.dumps(golden))
    write_manifest(folder)


def write_manifest(folder: Path) -> Manifest:
    """Write a manifest of the files that are now in the folder."""
    path = folder / "manifest.json"
    files = tuple(describe(file) for file in sorted(folder.iterdir()) if file != path)
    manifest = msgspec.structs.replace(parse(path.read_bytes()), files=files)
    path.write_bytes(dump(manifest))
    return manifest
