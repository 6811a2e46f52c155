"""Text encoders that training starts from: our own BERT for BERTs, and transformers' classes for the other families,
whose graphs are written as `hearth import` writes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn

from hearth.models.preprocessing import TextPreprocessing
from hearth_build.importing import encoders, text_tasks
from hearth_build.importing.base import ImportOptions
from hearth_build.importing.decoder_families import FAMILIES
from hearth_build.importing.source import Source
from hearth_build.importing.text_tokenizer import TextTokenizer, read_tokenizer
from hearth_build.importing.transformers_models import POOLER, load_model
from hearth_build.networks.bert import Encoder, Shape, rename_weights, shape_from
from hearth_build.onnx_export.export import exported, traced
from hearth_build.recipe import RecipeError
from hearth_build.training import bases

TEXT, PAIR = ("input_ids", "attention_mask"), ("input_ids", "attention_mask", "token_type_ids")
AXES = {0: "batch", 1: "sequence"}
Graph = Callable[[nn.Module | None, Path], None]


@dataclass(frozen=True)
class Checkpoint:
    """An encoder with its tokenizer, which neither pads nor truncates."""

    source: Source
    text_tokenizer: TextTokenizer
    hidden: int
    max_tokens: int
    """The longest text that it reads."""
    shape: Shape | None
    """Of a plain BERT; None for other families."""

    @property
    def tokenizer(self) -> Tokenizer:
        return self.text_tokenizer.tokenizer

    @property
    def pad_id(self) -> int:
        pad = self.text_tokenizer.pad_id
        return int((self.source.config.get("pad_token_id") if pad is None else pad) or 0)

    @property
    def pair_inputs(self) -> tuple[str, ...]:
        """The inputs for pairs of texts: with the types of tokens, if the encoder knows more than one."""
        has_types = self.text_tokenizer.has_types and self.source.config.get("type_vocab_size", 0) > 1
        return PAIR if has_types else TEXT

    def load(self) -> nn.Module:
        """The encoder with its weights."""
        if self.shape is None:
            return encoders.Encoder(load_model(self.source, "AutoModel", unread=POOLER), ("tokens",))
        network = Encoder(self.shape, pooler=False)
        names = network.state_dict()
        weights = rename_weights(self.source.load_weights()).items()
        own = {name.removeprefix("bert."): value.float() for name, value in weights}
        network.load_state_dict({name: value for name, value in own.items() if name in names})
        return network

    def graph(
        self, inputs: Sequence[str] = TEXT, outputs: Sequence[str] = ("logits",), per_token: bool = False
    ) -> Graph:
        """Return the function that writes the graph of a network over this encoder. `per_token`: whether its outputs
        have a value for each token."""
        if self.shape is None:
            return exported(lambda: encoders.example(inputs, 5), AXES, outputs)
        names = (*inputs, *(outputs if per_token else ()))
        return traced(
            lambda: {name: torch.ones(2, 8, dtype=torch.int64) for name in inputs},
            dict.fromkeys(names, AXES),
            outputs,
        )

    def preprocessing(self, max_tokens: int) -> TextPreprocessing:
        return TextPreprocessing(tokenizer="tokenizer.json", max_tokens=max_tokens, pad_id=self.pad_id)


def open_encoder(base: str) -> Checkpoint:
    """The encoder of a preset, a folder or a hub id. Raises RecipeError for anything else."""
    source = bases.source(base)
    kind = source.config.get("model_type")
    options = ImportOptions(task="feature-extraction")
    if not text_tasks.is_text_encoder(source, options) or kind in FAMILIES:
        raise RecipeError(f"--from {base} is a {kind or 'model without config.json'}; this task needs a text encoder.")
    if not source.weights:
        raise RecipeError(f"--from {base} has graphs, but no safetensors; training needs the weights themselves.")
    config = source.config
    hidden = int(config.get("hidden_size") or config.get("dim") or config.get("d_model") or 0)
    return Checkpoint(source, read_tokenizer(source), hidden, text_tasks.max_tokens(source), shape_of(source))


def shape_of(source: Source) -> Shape | None:
    """The shape of a plain BERT; None for everything else."""
    try:
        return shape_from(source.config, 0)
    except (ValueError, KeyError):
        return None
