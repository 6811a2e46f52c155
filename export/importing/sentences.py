"""sentence-transformers folders of a BERT: modules.json, mean or CLS pooling, optional normalisation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hearth.models.manifest import Limits, Pooling, TextPreprocessing
from hearth_build.importing import bert
from hearth_build.importing.base import ImportOptions
from hearth_build.importing.recipe import import_recipe
from hearth_build.importing.source import Source
from hearth_build.networks.bert import Encoder, Shape
from hearth_build.onnx_export.export import traced
from hearth_build.recipe import Recipe, RecipeError

TEXTS = (
    "A man is playing the guitar.",
    ["A man is playing the guitar.", "Somebody plays an instrument."],
    ["How do I reset my password?", "I forgot my login, what can I do?"],
    ["Two dogs run through the snow.", "The bank raised its interest rates."],
)
"""Golden inputs: a text, whose vectors are compared, and pairs of texts, whose similarities are compared."""
POOLING_MODES = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


class SentenceEncoder(nn.Module):
    """Token vectors (batch, sequence, hidden) from int64 input_ids and attention_mask (batch, sequence)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.bert = Encoder(shape, pooler=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        tokens: Tensor = self.bert(input_ids, attention_mask)
        return tokens


def recipe_of(source: Source, options: ImportOptions) -> Recipe:
    if source.config["model_type"] != "bert":
        raise RecipeError(
            f"{source.path}/config.json has the unsupported model_type "
            f"{source.config['model_type']!r}; a sentence-transformers folder must contain a `bert`."
        )
    return import_recipe(
        source,
        options,
        task="feature-extraction",
        description=f"Sentence embeddings from an imported BERT: {source.title}.",
        network=lambda work: load_network(source),
        graphs={"main": graph()},
        golden=lambda: TEXTS,
        preprocessing=preprocessing(source),
        head=head(source),
        limits=Limits(batch=64, characters=20_000),
    )


def load_network(source: Source) -> nn.Module:
    return bert.load_weights(SentenceEncoder(bert.shape_of(source)), source)


def graph() -> Any:
    """Return the function that writes the graph from token ids to the vectors `tokens`."""
    return traced(
        lambda: {"input_ids": torch.ones(2, 8).long(), "attention_mask": torch.ones(2, 8).long()},
        {name: {0: "batch", 1: "sequence"} for name in ("input_ids", "attention_mask", "tokens")},
        outputs=("tokens",),
    )


def preprocessing(source: Source) -> TextPreprocessing:
    """Return the preprocessing; the maximum length is in one of two files, depending on the version that saved it."""
    positions = bert.shape_of(source).positions
    max_tokens = (
        source.read_json("sentence_bert_config.json").get("max_seq_length")
        or source.read_json("tokenizer_config.json").get("model_max_length")
        or positions
    )
    return TextPreprocessing(
        tokenizer="tokenizer.json",
        max_tokens=min(max_tokens, positions),
        pad_id=source.config.get("pad_token_id") or 0,
    )


def head(source: Source) -> Pooling:
    """Return the pooling that modules.json describes. Raises RecipeError for what the runtime does not support."""
    modules = json.loads((source.folder / "modules.json").read_text(encoding="utf-8"))
    types = [str(module["type"]).rpartition(".")[2] for module in modules]
    if types not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]) or modules[0]["path"]:
        raise RecipeError(
            f"{source.folder}/modules.json has {', '.join(types)}; supported are a Transformer in the folder "
            "itself, then Pooling, then optionally Normalize."
        )
    if prompt := source.read_json("config_sentence_transformers.json").get("default_prompt_name"):
        raise RecipeError(
            f"{source.folder} prepends the prompt {prompt!r} to each text, which is not supported. Set "
            "default_prompt_name to null in config_sentence_transformers.json and send the prompt with each text."
        )
    config = source.read_json(str(Path(modules[1]["path"], "config.json")))
    modes = [name for name, value in config.items() if name.startswith("pooling_mode_") and value is True]
    method = config.get("pooling_mode", POOLING_MODES.get(modes[0], modes[0]) if len(modes) == 1 else modes)
    if method not in ("mean", "cls"):
        raise RecipeError(f"{source.folder}: pooling by {method} is not supported; `mean` and `cls` are.")
    return Pooling(method=method, normalise=types[-1] == "Normalize", dimensions=int(source.config["hidden_size"]))
