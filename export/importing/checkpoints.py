"""Folders with safetensors whose networks this project writes itself."""

from __future__ import annotations

from collections.abc import Callable

from hearth_build.importing import gpt2, llama
from hearth_build.importing.base import ImportedModel, Importer, ImportOptions
from hearth_build.importing.source import INDEX, Source, require_files
from hearth_build.recipe import DynamicInt8, Recipe

RecipeReader = Callable[[Source, ImportOptions], Recipe]
FAMILIES: dict[str, RecipeReader] = {
    "gpt2": gpt2.recipe_of,
    "llama": llama.recipe_of,
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
    require_files(source, ("config.json", weights, "tokenizer.json"))
    recipe = FAMILIES[source.model_type](source, options)
    return ImportedModel(recipe, [f"{source.model_type}: {recipe.task}"], {"int8": DynamicInt8()})


IMPORTERS = (Importer("GPT-2 and Llama folders", accepts, read),)
