"""Folders with safetensors whose networks this project writes itself."""

from __future__ import annotations

from collections.abc import Callable

from hearth_build.importing import bert, distilbert, gpt2, llama, marian, sentences
from hearth_build.importing.base import ImportedModel, Importer, ImportOptions
from hearth_build.importing.source import INDEX, Source, require_files
from hearth_build.recipe import DynamicInt8, Recipe

RecipeReader = Callable[[Source, ImportOptions], Recipe]
FAMILIES: dict[str, RecipeReader] = {
    "bert": bert.recipe_of,
    "distilbert": distilbert.recipe_of,
    "gpt2": gpt2.recipe_of,
    "llama": llama.recipe_of,
    "marian": marian.recipe_of,
    "sentence-transformers": sentences.recipe_of,
}
"""By `model_type`; a folder with modules.json is `sentence-transformers`, whatever its config.json says."""


def accepts(source: Source, options: ImportOptions) -> bool:
    return not source.is_file and not source.graphs and source.model_type in FAMILIES


def read(source: Source, options: ImportOptions) -> ImportedModel:
    weights = INDEX if (source.folder / INDEX).is_file() else "model.safetensors"
    # Marian's tokenizer is saved in files of its own.
    tokenizer = ("source.spm", "vocab.json") if (source.folder / "source.spm").is_file() else ("tokenizer.json",)
    require_files(source, ("config.json", weights, *tokenizer))
    recipe = FAMILIES[source.model_type](source, options)
    return ImportedModel(recipe, [f"{source.model_type}: {recipe.task}"], {"int8": DynamicInt8()})


IMPORTERS = (Importer("BERT, DistilBERT, GPT-2, Llama and Marian folders", accepts, read),)
