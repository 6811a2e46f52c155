"""Folders of Whisper that hold optimum's graphs alone. They are imported without torch."""

from __future__ import annotations

from tokenizers import Tokenizer

from hearth.models.manifest import Limits
from hearth_build.importing.base import ImportedModel, Importer, ImportOptions
from hearth_build.importing.encoder_decoders import optimum_files
from hearth_build.importing.recipe import import_recipe
from hearth_build.importing.source import Source, require_files
from hearth_build.importing.whisper_head import (
    SECONDS,
    TASK,
    describe,
    melody,
    whisper_head,
    whisper_preprocessing,
)
from hearth_build.onnx_export import optimum_seq2seq
from hearth_build.recipe import DynamicInt8


def accepts(source: Source, options: ImportOptions) -> bool:
    is_whisper = source.model_type == "whisper" and bool(source.graphs)
    return is_whisper and not source.is_file and not source.weights and options.task in (None, TASK)


def read(source: Source, options: ImportOptions) -> ImportedModel:
    """Raises RecipeError."""
    require_files(source, ("tokenizer.json",))
    files = optimum_files(source)
    layers, _, _ = optimum_seq2seq.shape_of(files)
    tokenizer = Tokenizer.from_file(str(source.folder / "tokenizer.json"))
    head = whisper_head(source, source.config, tokenizer)
    recipe = import_recipe(
        source,
        options,
        task=TASK,
        description=f"An imported Whisper: {source.title}.",
        graphs={
            "main": lambda network, path: optimum_seq2seq.write_encoder(files, layers, path),
            "decoder": lambda network, path: optimum_seq2seq.write_decoder(files, layers, path, has_mask=False),
        },
        golden=lambda: [melody()],
        preprocessing=whisper_preprocessing(int(source.config.get("num_mel_bins", 80))),
        head=head,
        limits=Limits(batch=1, seconds=SECONDS),
    )
    return ImportedModel(recipe, [f"whisper, ONNX of optimum: {TASK}, {describe(head)}"], {"int8": DynamicInt8()})


IMPORTERS = (Importer("folders of Whisper with ONNX", accepts, read),)
