"""Folders of speech models: Whisper, and models of letters (wav2vec 2.0, HuBERT and their kin)."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from hearth.models.heads import Ctc
from hearth.models.manifest import Limits
from hearth.models.model import Model
from hearth.models.preprocessing import AudioPreprocessing
from hearth_build.importing.base import ImportedModel, Importer, ImportOptions
from hearth_build.importing.labels import read_names
from hearth_build.importing.picture_networks import Wrapper
from hearth_build.importing.pictures import architecture
from hearth_build.importing.recipe import import_recipe
from hearth_build.importing.source import Source
from hearth_build.importing.transformers_models import load_model
from hearth_build.importing.whisper_head import (
    RATE,
    SECONDS,
    TASK,
    describe,
    melody,
    whisper_head,
    whisper_preprocessing,
)
from hearth_build.onnx_export import whisper_graphs
from hearth_build.onnx_export.export import traced
from hearth_build.onnx_export.reference import ReferenceModel
from hearth_build.recipe import DynamicInt8, RecipeError


def accepts(source: Source, options: ImportOptions) -> bool:
    name = architecture(source)
    is_speech = name == "WhisperForConditionalGeneration" or name.endswith("ForCTC")
    return not source.is_file and not source.graphs and is_speech and options.task in (None, TASK)


def read(source: Source, options: ImportOptions) -> ImportedModel:
    """Raises RecipeError."""
    return read_letters(source, options) if architecture(source).endswith("ForCTC") else read_whisper(source, options)


class TorchWhisper(ReferenceModel):
    """Whisper's torch modules in place of the graphs."""

    def __init__(self, network: Any, served: Model) -> None:
        super().__init__(served)
        self.networks = {"main": whisper_graphs.Encoder(network), "decoder": whisper_graphs.Decoder(network)}

    def run(self, feeds: dict[str, np.ndarray], graph: str = "main") -> list[np.ndarray]:
        with torch.no_grad():
            outputs = self.networks[graph](*(torch.from_numpy(value) for value in feeds.values()))
        return [output.numpy() for output in outputs]


def read_whisper(source: Source, options: ImportOptions) -> ImportedModel:
    if not (source.folder / "tokenizer.json").is_file():
        raise RecipeError(f"{source.folder} has no tokenizer.json. Save the tokenizer there with save_pretrained().")
    model = load_model(source)
    config = model.config
    tokenizer = Tokenizer.from_file(str(source.folder / "tokenizer.json"))
    head = whisper_head(source, config.to_dict(), tokenizer)
    recipe = import_recipe(
        source,
        options,
        task=TASK,
        description=f"An imported Whisper: {source.title}.",
        network=lambda work: model,
        reference_model=TorchWhisper,
        graphs=whisper_graphs.graphs(config),
        golden=lambda: [melody()],
        preprocessing=whisper_preprocessing(config.num_mel_bins),
        head=head,
        limits=Limits(batch=1, seconds=SECONDS),
    )
    return ImportedModel(recipe, [f"{source.model_type}: {TASK}, {describe(head)}"], {"int8": DynamicInt8()})


def read_letters(source: Source, options: ImportOptions) -> ImportedModel:
    settings = source.read_json("preprocessor_config.json")
    if settings.get("feature_extractor_type", "Wav2Vec2FeatureExtractor") != "Wav2Vec2FeatureExtractor":
        raise RecipeError(f"{source.folder} does not read waveforms; export it to ONNX and import it as tensors.")
    model = load_model(source)
    config = model.config
    labels, blank = letters(source, config, options)
    network = Wrapper(model, lambda model, samples: model(input_values=samples).logits.log_softmax(-1))
    hop = int(np.prod(config.conv_stride))
    window = 1
    for kernel, stride in reversed(list(zip(config.conv_kernel, config.conv_stride, strict=True))):
        window = (window - 1) * stride + kernel
    recipe = import_recipe(
        source,
        options,
        task=TASK,
        description=f"An imported {source.model_type} that recognises letters: {source.title}.",
        labels=labels,
        prepare=lambda work: None,
        network=lambda work: network,
        graphs={
            "main": traced(
                lambda: {"input_values": torch.randn(1, RATE)},
                {"input_values": {1: "samples"}, "logprobs": {1: "frames"}},
                ("logprobs",),
            )
        },
        golden=lambda: [melody()],
        preprocessing=AudioPreprocessing(
            rate=int(settings.get("sampling_rate", RATE)),
            window=window,
            hop=hop,
            fft=window,
            mels=1,
            low=0.0,
            high=RATE / 2,
            normalise="utterance" if settings.get("do_normalize", True) else "none",
            features="waveform",
        ),
        head=Ctc(blank=blank),
        limits=Limits(batch=1),
    )
    return ImportedModel(recipe, [f"{source.model_type}: {TASK}, {len(labels)} symbols"], {"int8": DynamicInt8()})


def letters(source: Source, config: Any, options: ImportOptions) -> tuple[tuple[str, ...], int]:
    """The symbols in the order of the output, and the index of the blank. Special symbols are empty texts."""
    vocabulary = source.read_json("vocab.json")
    settings = source.read_json("tokenizer_config.json")
    if options.labels is not None:
        names = read_names(str(options.labels))
        if len(names) != config.vocab_size:
            raise RecipeError(f"--labels has {len(names)} symbols; the model has {config.vocab_size}.")
        vocabulary = {name: index for index, name in enumerate(names)}
    if not vocabulary:
        raise RecipeError(
            f"{source.folder} has no vocab.json with the symbols. Save the tokenizer there, or add --labels FILE with "
            f"the {config.vocab_size} symbols in the order of the output, one per line (| is the space)."
        )
    if any(isinstance(value, dict) for value in vocabulary.values()):  # one vocabulary for each language (MMS)
        vocabulary = vocabulary[settings.get("target_lang") or sorted(vocabulary)[0]]
    separator = settings.get("word_delimiter_token", "|")
    symbols = [""] * config.vocab_size
    for symbol, index in vocabulary.items():
        if index < len(symbols):
            is_special = re.fullmatch(r"<.*>|\[.*\]", symbol)
            symbols[index] = " " if symbol == separator else "" if is_special else symbol
    return tuple(symbols), int(config.pad_token_id or 0)


IMPORTERS = (Importer("folders of Whisper and of models of letters", accepts, read),)
