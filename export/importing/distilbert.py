"""Hugging Face DistilBERT folders, imported as a BERT without token types."""

from __future__ import annotations

import re
from dataclasses import replace

import torch
from torch import Tensor

from hearth_build.importing import bert
from hearth_build.importing.base import ImportOptions
from hearth_build.importing.source import Source
from hearth_build.recipe import Recipe, RecipeError

CONFIG_FIELDS = {
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "hidden_dim": "intermediate_size",
    "activation": "hidden_act",
    "dropout": "hidden_dropout_prob",
}
"""Fields of config.json: DistilBERT's to BERT's."""
WEIGHTS = {
    r"^distilbert\.": "bert.",
    r"\.transformer\.layer\.": ".encoder.layer.",
    r"\.attention\.q_lin\.": ".attention.self.query.",
    r"\.attention\.k_lin\.": ".attention.self.key.",
    r"\.attention\.v_lin\.": ".attention.self.value.",
    r"\.attention\.out_lin\.": ".attention.output.dense.",
    r"\.sa_layer_norm\.": ".attention.output.LayerNorm.",
    r"\.ffn\.lin1\.": ".intermediate.dense.",
    r"\.ffn\.lin2\.": ".output.dense.",
    r"\.output_layer_norm\.": ".output.LayerNorm.",
    r"^pre_classifier\.": "bert.pooler.dense.",
    r"^vocab_transform\.": "cls.predictions.transform.dense.",
    r"^vocab_layer_norm\.": "cls.predictions.transform.LayerNorm.",
    r"^vocab_projector\.bias$": "cls.predictions.bias",
    r"^vocab_projector\.": "cls.predictions.decoder.",
}
"""Names of weights: patterns of DistilBERT's to BERT's."""


def recipe_of(source: Source, options: ImportOptions) -> Recipe:
    return bert.recipe_of(as_bert(source), options)


def as_bert(source: Source) -> Source:
    """Return the checkpoint under BERT's names. Raises RecipeError for positions that BERT does not have."""
    if source.config.get("sinusoidal_pos_embds"):
        raise RecipeError(f"{source.path}/config.json: only sinusoidal_pos_embds false is supported.")
    config = {CONFIG_FIELDS.get(name, name): value for name, value in source.config.items()}
    config |= {
        "model_type": "bert",
        "architectures": [source.architecture.removeprefix("Distil")],
        "type_vocab_size": 2,
        "pooled": "relu",
    }
    return replace(source, config=config, rename_weights=rename_weights)


def rename_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under BERT's names, with token type embeddings of zeros."""
    renamed = {}
    for name, value in weights.items():
        for old, new in WEIGHTS.items():
            name = re.sub(old, new, name)
        renamed[name] = value
    hidden = renamed["bert.embeddings.word_embeddings.weight"].shape[1]
    return renamed | {"bert.embeddings.token_type_embeddings.weight": torch.zeros(2, hidden)}
