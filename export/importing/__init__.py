"""`hearth import SOURCE`: an ONNX file, a model's folder or a hub id becomes an artifact.

`open_source` finds out what the user named, and the first of `IMPORTERS` that accepts it makes a recipe of it. What
comes after that, precision, verification and publishing, is the same for all families.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace

from hearth_build.importing.base import ImportedModel, Importer, ImportOptions
from hearth_build.importing.source import Source, open_source
from hearth_build.pipeline.evaluation import examples_from
from hearth_build.recipe import RecipeError

MODULES = (
    "decoders",
    "encoder_decoders",
    "pictures",
    "speech",
    "encoders",
    "onnx_folders",
    "tabular",
    "images",
    "tensors",
)
"""Modules with `IMPORTERS`, in the order in which they are asked: the first that accepts a source reads it.

They are imported one after the other, after the source is open: a wrong source is named at once.
"""


def importers() -> Iterator[Importer]:
    for name in MODULES:
        yield from importlib.import_module(f"hearth_build.importing.{name}").IMPORTERS


def read(name: str, options: ImportOptions) -> ImportedModel:
    """Read a source without building anything. Raises RecipeError and DataError with advice."""
    source = open_source(name, options.revision)
    importer = next((importer for importer in importers() if importer.accepts(source, options)), None)
    if importer is None:
        raise RecipeError(refusal(source))
    imported = importer.read(source, options)
    if options.data is None:
        return imported
    examples = examples_from(options.data, imported.recipe.task)
    return replace(imported, recipe=replace(imported.recipe, dev={options.data.name: lambda work: examples}))


def refusal(source: Source) -> str:
    """What the source is, what is near it, and a way on, in sentences."""
    kinds = "; ".join(dict.fromkeys(importer.kind for importer in importers()))
    if not source.config:
        return (
            f"{source.path} has weights but no config.json, which says what they are. Save the model with "
            "save_pretrained(), or export it to ONNX."
        )
    names = source.config.get("architectures") or []
    if not names:
        return (
            f"{source.path}/config.json names no class (architectures). Add --task, for example feature-extraction or "
            "text-classification."
        )
    return (
        f"{source.path} has a {names[0]} (model_type {source.config.get('model_type')!r}), which cannot be imported. "
        f"Imported are {kinds}. Any model can be exported to ONNX and imported with --task tensors."
    )
