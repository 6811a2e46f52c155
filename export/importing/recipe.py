"""What recipes of all imported folders have in common."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hearth_build.importing.base import ImportOptions, model_name
from hearth_build.importing.source import OTHER_FORMATS, Source
from hearth_build.recipe import Gate, NoQuantization, Recipe

WEIGHTS = (".safetensors", ".onnx", ".onnx_data", ".data", *OTHER_FORMATS)
"""Suffixes of files with weights."""
MAX_BYTES = 20_000_000_000
"""Largest artifact."""


def import_recipe(source: Source, options: ImportOptions, **fields: Any) -> Recipe:
    """A recipe that trains nothing; it is in fp32, with the gates that `--precision auto` compares with."""
    common: dict[str, Any] = {
        "name": model_name(source, options),
        "licence": options.licence or str(source.config.get("license", "as the checkpoint's")),
        "labels": (),
        "sources": (),
        "prepare": lambda work: copy_tokenizer(source, work),
        "inputs": files_to_prepare(source),
        "stages": (),
        "dev": {},
        "quantization": NoQuantization(),
        "gate": Gate(metric=0.0, quantization_loss=0.01, bytes=MAX_BYTES, difference=0.1),
        "parents": (str(source.config.get("_name_or_path") or source.title),),
        "limitations": ("Imported: its training data and its quality are documented only by its authors.",),
    }
    return Recipe(**common | fields)


def files_to_prepare(source: Source) -> tuple[Path, ...]:
    """The files of a folder that `prepare` may read: those without weights, which are read at each build."""
    return tuple(path for path in sorted(source.folder.iterdir()) if path.is_file() and path.suffix not in WEIGHTS)


def copy_tokenizer(source: Source, work: Path) -> None:
    """Copy the tokenizer; all other files are read in place."""
    shutil.copyfile(source.folder / "tokenizer.json", work / "tokenizer.json")
