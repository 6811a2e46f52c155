"""`hearth import SOURCE`: an ONNX file, a model's folder or a hub id becomes an artifact.

`open_source` finds out what the user named, and the first of `IMPORTERS` that accepts it makes a recipe of it. What
comes after that, precision, verification and publishing, is the same for all families.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from dataclasses import replace

from hearth_build.importing.base import ImportedModel, Importer, ImportOptions
from hearth_build.importing.graph_choice import main_graph
from hearth_build.importing.source import Source, open_file, open_source
from hearth_build.pipeline.evaluation import examples_from
from hearth_build.recipe import RecipeError

MODULES = (
    "decoders",
    "encoder_decoders",
    "onnx_whisper",
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
GENERATORS, NETWORKS = ("decoders",), ("speech", "encoders")
"""Modules that need torch, and read safetensors alone. Decoders are read from them even beside graphs."""


def importers(source: Source) -> Iterator[Importer]:
    """The importers that may accept a source. Those of networks are left out where they cannot, so that graphs are
    imported without torch."""
    for name in MODULES:
        if name in NETWORKS and (source.graphs or not source.weights):
            continue
        if name in GENERATORS and (not source.weights or (source.graphs and not source.generates_text)):
            continue
        yield from importlib.import_module(f"hearth_build.importing.{name}").IMPORTERS


def read(name: str, options: ImportOptions) -> ImportedModel:
    """Read a source without building anything. Raises RecipeError and DataError with advice."""
    source = open_source(name, options.revision)
    if options.task == "tensors":
        source = as_graph(source)
    importer = next((importer for importer in importers(source) if importer.accepts(source, options)), None)
    if importer is None:
        raise RecipeError(refusal(source))
    imported = importer.read(source, options)
    if options.data is None:
        return imported
    examples = examples_from(options.data, imported.recipe.task)
    return replace(imported, recipe=replace(imported.recipe, dev={options.data.name: lambda work: examples}))


def as_graph(source: Source) -> Source:
    """The graph of a folder, to be called by its tensors whatever the folder says. Raises RecipeError."""
    if source.is_file:
        return source
    if not source.graphs:
        raise RecipeError(
            f"{source.path} has no .onnx file, and the task tensors needs one. Export the model to ONNX "
            "(torch.onnx.export, or optimum-cli export onnx), and import that."
        )
    return open_file(main_graph(source), alone=True)


def refusal(source: Source) -> str:
    """What the source is, what is near it, and a way on, in sentences."""
    kinds = "; ".join(dict.fromkeys(importer.kind for importer in importers(source)))
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
    if {"num_local_experts", "num_experts", "n_routed_experts"} & source.config.keys():
        return f"{source.path} has a {names[0]}, a mixture of experts. Those are not imported; dense decoders are."
    if not names[0].endswith("ForCausalLM"):
        kinds = re.sub(r"^(decoders) \([^)]*\)", r"\1", kinds)  # its families are no help
    return (
        f"{source.path} has a {names[0]} (model_type {source.config.get('model_type')!r}), which cannot be imported. "
        f"Imported are {kinds}. Any model can be exported to ONNX and imported with --task tensors."
    )
