"""Hugging Face Marian folders, such as Helsinki-NLP's opus-mt models.

The tokenizer is tokenizer.json if it exists, else it is built from source.spm and vocab.json.
"""

from __future__ import annotations

import re

from tokenizers import Tokenizer
from torch import nn

from hearth.models.manifest import Limits, TextPreprocessing
from hearth_build.data import sentencepiece
from hearth_build.importing.base import ImportOptions
from hearth_build.importing.recipe import MAX_BYTES, import_recipe
from hearth_build.importing.source import Source
from hearth_build.networks.marian import ACTIVATIONS, Marian, Shape
from hearth_build.onnx_export import seq2seq_graphs
from hearth_build.recipe import Gate, Recipe, RecipeError

TEXTS = (
    "The house is small.",
    "Two children are playing in the park.",
    "Where can I buy a ticket to Berlin?",
)
"""Golden inputs: an import has no dev set, so the torch model and the served graph are compared on these."""
TIED = (
    "model.encoder.embed_tokens.weight",
    "model.decoder.embed_tokens.weight",
    "lm_head.weight",
    "model.encoder.embed_positions.weight",
    "model.decoder.embed_positions.weight",
)
"""Weights that are not loaded: they are the shared embedding under another name, or computed sinusoids."""
DIFFERENCE = 0.6
"""Largest accepted difference of a golden answer: rounding either exchanges whole words or changes nothing."""
MAX_TOKENS = 512
"""Largest number of tokens of a source and of a translation; sinusoidal positions have no limit of their own."""


def recipe_of(source: Source, options: ImportOptions) -> Recipe:
    shape = shape_of(source)
    config = source.config | source.read_json("generation_config.json")
    eos = config.get("eos_token_id", 0)
    pad = shape.pad
    max_tokens = min(shape.positions, MAX_TOKENS)
    tokenizer = tokenizer_of(source)
    source, target = languages(source, tokenizer)
    return import_recipe(
        source,
        options,
        task="translation",
        description=f"A Marian translator, imported: {source.title}.",
        prepare=lambda work: tokenizer.save(str(work / "tokenizer.json"), pretty=False),
        network=lambda work: load_network(shape, source),
        reference_model=seq2seq_graphs.Seq2SeqReference,
        graphs=seq2seq_graphs.graphs(shape),
        golden=lambda: TEXTS,
        preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=max_tokens, pad_id=pad),
        head=seq2seq_graphs.head(
            shape,
            start=config.get("decoder_start_token_id", pad),
            eos=eos[0] if isinstance(eos, list) else eos,
            max_new=max_tokens - 1,
            beams=config.get("num_beams") or 1,
            length_penalty=1.0 if config.get("length_penalty") is None else config["length_penalty"],
            source=source,
            target=target,
        ),
        limits=Limits(batch=16, characters=4000),
        gate=Gate(metric=0.0, quantization_loss=0.5, bytes=MAX_BYTES, difference=DIFFERENCE),
    )


def shape_of(source: Source) -> Shape:
    """Read the shape from config.json. Raises RecipeError for variants that no published model uses."""
    config, config_path = source.config, f"{source.path}/config.json"
    activation = config.get("activation_function", "gelu")
    if activation not in ACTIVATIONS:
        raise RecipeError(
            f"{config_path}: activation_function {activation!r} is not supported; {', '.join(ACTIVATIONS)} are."
        )
    for field in ("attention_heads", "ffn_dim"):
        if config[f"encoder_{field}"] != config[f"decoder_{field}"]:
            raise RecipeError(f"{config_path}: encoder_{field} and decoder_{field} must be equal.")
    if not config.get("share_encoder_decoder_embeddings", True) or not config.get("tie_word_embeddings", True):
        raise RecipeError(
            f"{config_path}: share_encoder_decoder_embeddings and tie_word_embeddings must be true; "
            "separate embeddings are not supported."
        )
    return Shape(
        vocabulary=config["vocab_size"],
        hidden=config["d_model"],
        encoder_layers=config["encoder_layers"],
        decoder_layers=config["decoder_layers"],
        heads=config["encoder_attention_heads"],
        intermediate=config["encoder_ffn_dim"],
        positions=config.get("max_position_embeddings", MAX_TOKENS),
        pad=config["pad_token_id"],
        activation=activation,
        scale_embedding=config.get("scale_embedding", False),
    )


def load_network(shape: Shape, source: Source) -> nn.Module:
    network = Marian(shape)
    weights = {name: value for name, value in source.load_weights().items() if name not in TIED}
    if "model.shared.weight" not in weights:  # only one of the tied names is saved
        saved = source.load_weights()
        weights["model.shared.weight"] = next(saved[name] for name in TIED[:3] if name in saved)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise RecipeError(f"{source.folder}/model.safetensors does not fit config.json: {error}") from None
    return network


def tokenizer_of(source: Source) -> Tokenizer:
    """Load or build the tokenizer. Raises RecipeError when files are missing or not supported."""
    folder = source.folder
    if (folder / "tokenizer.json").is_file():
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    missing = [file for file in ("source.spm", "vocab.json") if not (folder / file).is_file()]
    if missing:
        raise RecipeError(f"{folder} has no {' and no '.join(missing)}: MarianTokenizer.save_pretrained() writes them.")
    try:
        return sentencepiece.build_tokenizer(folder)
    except ValueError as error:
        raise RecipeError(f"The tokenizer cannot be imported: {error}.") from None


def languages(source: Source, tokenizer: Tokenizer) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the source and target languages, from the tokenizer's configuration or from the model's name.

    A vocabulary with tokens such as `>>de<<` has several target languages; all are returned.
    """
    config = source.read_json("tokenizer_config.json")
    match = re.search(r"opus-mt-([a-z_]+)-([a-z_]+)$", source.title)
    source = config.get("source_lang") or (match[1] if match else "")
    target = config.get("target_lang") or (match[2] if match else "")
    ids = tokenizer.get_vocab()
    tokens = sorted(ids, key=lambda token: ids[token])
    targets = tuple(token[2:-2] for token in tokens if re.fullmatch(r">>[\w-]+<<", token))
    if not targets and target:
        targets = (target,)
    return (source,) if source else (), targets
