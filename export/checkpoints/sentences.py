"""sentence-transformers folders of a BERT: modules.json, pooling by mean or first token, perhaps normalised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hearth.models.manifest import Limits, Pooling, TextPreprocessing
from hearth_build.checkpoints import bert
from hearth_build.checkpoints.folder import Checkpoint, imported
from hearth_build.networks.bert import Encoder, Shape
from hearth_build.onnx_export.export import traced
from hearth_build.recipe import DynamicInt8, Recipe, RecipeError

TEXTS = (
    "A man is playing the guitar.",
    ["A man is playing the guitar.", "Somebody plays an instrument."],
    ["How do I reset my password?", "I forgot my login, what can I do?"],
    ["Two dogs run through the snow.", "The bank raised its interest rates."],
)
"""A text, whose vector is compared, and pairs of texts, whose likeness is."""
METHODS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


class Sentences(nn.Module):
    """Token vectors (batch, sequence, hidden) from int64 input_ids and attention_mask (batch, sequence)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.bert = Encoder(shape, pooler=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        tokens: Tensor = self.bert(input_ids, attention_mask)
        return tokens


def recipe_of(checkpoint: Checkpoint) -> Recipe:
    if checkpoint.config["model_type"] != "bert":
        raise RecipeError(
            f"{checkpoint.folder}/config.json has model_type {checkpoint.config['model_type']!r}; of "
            "sentence-transformers folders only those of a `bert` are imported."
        )
    return imported(
        checkpoint,
        task="feature-extraction",
        description=f"Texts as vectors by a BERT, imported: {checkpoint.title}.",
        network=lambda work: load(checkpoint),
        graphs={"main": graph()},
        golden=lambda: TEXTS,
        preprocessing=preprocessing(checkpoint),
        head=head(checkpoint),
        quantization=DynamicInt8(),
        limits=Limits(batch=64, characters=20_000),
    )


def load(checkpoint: Checkpoint) -> nn.Module:
    return bert.loaded(Sentences(bert.shape_of(checkpoint)), checkpoint)


def graph() -> Any:
    """The writer of a graph from token ids to `tokens`."""
    return traced(
        lambda: {"input_ids": torch.ones(2, 8).long(), "attention_mask": torch.ones(2, 8).long()},
        {name: {0: "batch", 1: "sequence"} for name in ("input_ids", "attention_mask", "tokens")},
        outputs=("tokens",),
    )


def preprocessing(checkpoint: Checkpoint) -> TextPreprocessing:
    """As long as the first of these says; newer versions write it only with the tokenizer."""
    longest = [
        read(checkpoint.folder / "sentence_bert_config.json", {}).get("max_seq_length"),
        read(checkpoint.folder / "tokenizer_config.json", {}).get("model_max_length"),
        positions := bert.shape_of(checkpoint).positions,
    ]
    return TextPreprocessing(
        tokenizer="tokenizer.json",
        max_tokens=min(next(length for length in longest if length), positions),
        pad_id=checkpoint.config.get("pad_token_id") or 0,
    )


def head(checkpoint: Checkpoint) -> Pooling:
    """What modules.json does with the token vectors. Raises RecipeError for what the runtime cannot do."""
    modules = read(checkpoint.folder / "modules.json", [])
    kinds = [str(module["type"]).rpartition(".")[2] for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]) or modules[0]["path"]:
        raise RecipeError(
            f"{checkpoint.folder}/modules.json has {', '.join(kinds)}; imported are a Transformer in the folder "
            "itself, Pooling, and perhaps Normalize after it."
        )
    if prompt := read(checkpoint.folder / "config_sentence_transformers.json", {}).get("default_prompt_name"):
        raise RecipeError(
            f"{checkpoint.folder} puts the prompt {prompt!r} before each text; set default_prompt_name to null in "
            "config_sentence_transformers.json, and let callers send the prompt with their texts."
        )
    config = read(checkpoint.folder / modules[1]["path"] / "config.json", {})
    modes = [name for name, value in config.items() if name.startswith("pooling_mode_") and value is True]
    named = config.get("pooling_mode", METHODS.get(modes[0], modes[0]) if len(modes) == 1 else modes)
    if named not in ("mean", "cls"):
        raise RecipeError(f"{checkpoint.folder}: pooling by {named} is not imported; `mean` and `cls` are.")
    return Pooling(method=named, normalise=kinds[-1] == "Normalize", dimensions=int(checkpoint.config["hidden_size"]))


def read(path: Path, missing: Any) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else missing
