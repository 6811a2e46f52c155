"""Hugging Face Marian folders, such as Helsinki-NLP's opus-mt models.

Their tokenizer is tokenizer.json where there is one, else what source.spm and vocab.json make.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tokenizers import Tokenizer
from torch import nn

from hearth.models.manifest import Limits, TextPreprocessing
from hearth_build.checkpoints.folder import Checkpoint, imported
from hearth_build.data import sentencepiece
from hearth_build.networks.marian import ACTIVATIONS, Marian, Shape
from hearth_build.onnx_export import seq2seq_graphs
from hearth_build.recipe import DynamicInt8, Gate, Recipe, RecipeError

TEXTS = (
    "The house is small.",
    "Two children are playing in the park.",
    "Where can I buy a ticket to Berlin?",
)
"""What torch and served graph are compared on: there is no dev set."""
TIED = (
    "model.encoder.embed_tokens.weight",
    "model.decoder.embed_tokens.weight",
    "lm_head.weight",
    "model.encoder.embed_positions.weight",
    "model.decoder.embed_positions.weight",
)
"""Weights that are other ones' or sinusoids."""
DIFFERENCE = 0.6
"""Accepted of a golden answer: rounding changes a word for another, or nothing."""
LONGEST = 512
"""Tokens of a source and of a translation, at most: positions are sinusoids, and have no end of their own."""


def recipe_of(checkpoint: Checkpoint) -> Recipe:
    shape = shape_of(checkpoint)
    config = checkpoint.config | generation_of(checkpoint)
    eos = config.get("eos_token_id", 0)
    pad = shape.pad
    longest = min(shape.positions, LONGEST)
    tokenizer = tokenizer_of(checkpoint)
    source, target = languages(checkpoint, tokenizer)
    return imported(
        checkpoint,
        task="translation",
        description=f"A Marian translator, imported: {checkpoint.title}.",
        prepare=lambda work: tokenizer.save(str(work / "tokenizer.json"), pretty=False),
        network=lambda work: loaded(shape, checkpoint),
        reference_model=seq2seq_graphs.Twin,
        graphs=seq2seq_graphs.graphs(shape),
        golden=lambda: TEXTS,
        preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=longest, pad_id=pad),
        quantization=DynamicInt8(),
        head=seq2seq_graphs.head(
            shape,
            start=config.get("decoder_start_token_id", pad),
            eos=eos[0] if isinstance(eos, list) else eos,
            max_new=longest - 1,
            beams=config.get("num_beams") or 1,
            length_penalty=1.0 if config.get("length_penalty") is None else config["length_penalty"],
            source=source,
            target=target,
        ),
        limits=Limits(batch=16, characters=4000),
        gate=Gate(metric=0.0, quantization_loss=1.0, bytes=20_000_000_000, difference=DIFFERENCE),
    )


def shape_of(checkpoint: Checkpoint) -> Shape:
    """Raises RecipeError for what Marian's own class allows and no published model has."""
    config, where = checkpoint.config, f"{checkpoint.folder}/config.json"
    activation = config.get("activation_function", "gelu")
    if activation not in ACTIVATIONS:
        raise RecipeError(
            f"{where}: activation_function {activation!r} is not known; known are {', '.join(ACTIVATIONS)}."
        )
    for one in ("attention_heads", "ffn_dim"):
        if config[f"encoder_{one}"] != config[f"decoder_{one}"]:
            raise RecipeError(f"{where}: encoder_{one} and decoder_{one} differ; only equal ones are imported.")
    if not config.get("share_encoder_decoder_embeddings", True) or not config.get("tie_word_embeddings", True):
        raise RecipeError(
            f"{where}: only one embedding for source, target and output is imported; here they are apart."
        )
    return Shape(
        vocabulary=config["vocab_size"],
        hidden=config["d_model"],
        encoder_layers=config["encoder_layers"],
        decoder_layers=config["decoder_layers"],
        heads=config["encoder_attention_heads"],
        intermediate=config["encoder_ffn_dim"],
        positions=config.get("max_position_embeddings", LONGEST),
        pad=config["pad_token_id"],
        activation=activation,
        scale_embedding=config.get("scale_embedding", False),
    )


def loaded(shape: Shape, checkpoint: Checkpoint) -> nn.Module:
    network = Marian(shape)
    weights = {name: value for name, value in checkpoint.weights().items() if name not in TIED}
    if "model.shared.weight" not in weights:  # a saved model keeps one name of those that are tied
        stored = checkpoint.weights()
        weights["model.shared.weight"] = next(stored[name] for name in TIED[:3] if name in stored)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise RecipeError(f"{checkpoint.folder}/model.safetensors does not fit config.json: {error}") from None
    return network


def generation_of(checkpoint: Checkpoint) -> dict[str, Any]:
    path = checkpoint.folder / "generation_config.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def tokenizer_of(checkpoint: Checkpoint) -> Tokenizer:
    folder = checkpoint.folder
    if (folder / "tokenizer.json").is_file():
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    missing = [file for file in ("source.spm", "vocab.json") if not (folder / file).is_file()]
    if missing:
        raise RecipeError(f"{folder} has no {' and no '.join(missing)}: MarianTokenizer.save_pretrained() writes them.")
    try:
        return sentencepiece.build_tokenizer(folder)
    except ValueError as error:
        raise RecipeError(f"The tokenizer cannot be imported: {error}.") from None


def languages(checkpoint: Checkpoint, tokenizer: Tokenizer) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Source and target, as the tokenizer's configuration or the model's name says; of several targets (`>>xx<<` in
    the vocabulary), all."""
    path = checkpoint.folder / "tokenizer_config.json"
    named = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found = re.search(r"opus-mt-([a-z_]+)-([a-z_]+)$", checkpoint.title)
    source = named.get("source_lang") or (found[1] if found else "")
    target = named.get("target_lang") or (found[2] if found else "")
    numbers = tokenizer.get_vocab()
    tokens = sorted(numbers, key=lambda token: numbers[token])
    several = tuple(token[2:-2] for token in tokens if re.fullmatch(r">>[\w-]+<<", token))
    return (source,) * bool(source), several or (target,) * bool(target)
