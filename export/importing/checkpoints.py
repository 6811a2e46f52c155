"""Folders with safetensors whose networks this project writes itself."""

from __future__ import annotations

from collections.abc import Callable

from hearth_build.importing import marian
from hearth_build.importing.base import ImportedModel, Importer, ImportOptions
from hearth_build.importing.source import INDEX, Source, require_files
from hearth_build.recipe import DynamicInt8, Recipe

RecipeReader = Callable[[Source, ImportOptions], Recipe]
FAMILIES: dict[str, RecipeReader] = {
    "marian": marian.recipe_of,
}
"""By `model_type`."""


def accepts(source: Source, options: ImportOptions) -> bool:
    return (
        not source.is_file
        and not source.graphs
        and source.model_type in FAMILIES
        and not str(source.config.get("architectures")).endswith("ForSequenceClassification']")
    )


def read(source: Source, options: ImportOptions) -> ImportedModel:
    weights = INDEX if (source.folder / INDEX).is_file() else "model.safetensors"
    # Marian's tokenizer is saved in files of its own.
    tokenizer = ("source.spm", "vocab.json") if (source.folder / "source.spm").is_file() else ("tokenizer.json",)
    require_files(source, ("config.json", weights, *tokenizer))
    recipe = FAMILIES[source.model_type](source, options)
    return ImportedModel(recipe, [f"{source.model_type}: {recipe.task}"], {"int8": DynamicInt8()})


IMPORTERS = (Importer("Marian folders", accepts, read),)
