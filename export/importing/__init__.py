"""`hearth import SOURCE`: an ONNX file, a model's folder or a hub id becomes an artifact.

`open_source` finds out what the user named, and the first of `IMPORTERS` that accepts it makes a recipe of it. What
comes after that, precision, verification and publishing, is the same for all families.
"""

from __future__ import annotations

from dataclasses import replace

from hearth_build.importing import checkpoints, images, pictures, speech, tabular, tensors
from hearth_build.importing.base import ImportedModel, Importer, ImportOptions
from hearth_build.importing.source import Source, open_source
from hearth_build.pipeline.evaluation import examples_from
from hearth_build.recipe import RecipeError

IMPORTERS: tuple[Importer, ...] = (
    *checkpoints.IMPORTERS,
    *pictures.IMPORTERS,
    *speech.IMPORTERS,
    *tabular.IMPORTERS,
    *images.IMPORTERS,
    *tensors.IMPORTERS,
)
"""In the order in which they are asked: the first that accepts a source reads it."""


def read(name: str, options: ImportOptions) -> ImportedModel:
    """Read a source without building anything. Raises RecipeError and DataError with advice."""
    source = open_source(name)
    importer = next((importer for importer in IMPORTERS if importer.accepts(source, options)), None)
    if importer is None:
        raise RecipeError(refusal(source))
    imported = importer.read(source, options)
    if options.data is None:
        return imported
    examples = examples_from(options.data, imported.recipe.task)
    return replace(imported, recipe=replace(imported.recipe, dev={options.data.name: lambda work: examples}))


def refusal(source: Source) -> str:
    """What the source is, and what is near it, in sentences."""
    name = source.config.get("architectures", ["?"])[0] if source.config else source.title
    kinds = ", ".join(importer.kind for importer in IMPORTERS)
    return f"{source.path} has a {name}, which cannot be imported. Imported are {kinds}."
