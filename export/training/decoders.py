"""Decoders that training starts from, tokenizers of those from scratch, and the form of conversations."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec import structs
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn

from hearth.models.heads import Decoder as Head
from hearth.tasks.chat_template import render
from hearth_build.importing.base import ImportOptions
from hearth_build.importing.decoder_families import FAMILIES, architecture_of
from hearth_build.importing.decoder_weights import FamilyWeights
from hearth_build.importing.decoders import CHAT_TEMPLATE, accepts, chat_template, decoder_recipe, read_config
from hearth_build.importing.source import Source, require_files
from hearth_build.importing.streamed_model import StreamedModel
from hearth_build.importing.tensor_files import TensorFiles
from hearth_build.importing.transformers_models import load_model
from hearth_build.onnx_export import decoder_graph
from hearth_build.onnx_export.decoder_architecture import Architecture
from hearth_build.recipe import Example, RecipeError
from hearth_build.training import bases

IGNORED = -100
"""Target of tokens that are not learnt."""
END = "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
Tokens = tuple[list[int], bool]
"""Tokens, and whether they are learnt."""


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """Train a byte-level BPE like GPT-2's, with tokens for the form of conversations."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[AddedToken(token, special=True) for token in (END, *ROLES)],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


@dataclass(frozen=True)
class ChatFormat:
    """How texts and conversations become tokens."""

    template: str
    end: int | None
    """The token that ends a text and an answer."""
    bos: str = ""
    eos: str = ""
    name: str = CHAT_TEMPLATE

    @classmethod
    def ours(cls, tokenizer: Tokenizer) -> ChatFormat:
        return cls(TEMPLATE, tokenizer.token_to_id(END), eos=END)

    def tokens(self, tokenizer: Tokenizer, example: Example, ends: bool) -> Iterator[Tokens]:
        """The tokens of an example in parts; of a conversation, what the assistant says is learnt. `ends`: whether the
        end of a text is learnt too."""

        def encode(text: str) -> list[int]:
            return list(tokenizer.encode(text, add_special_tokens=False).ids)

        end = [] if self.end is None or not ends else [self.end]
        if isinstance(example.inputs, str):
            yield [*encode(example.inputs), *end], True
            return
        messages, done = example.inputs["messages"], ""
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            prompt = render(self.template, messages[:index], self.bos, self.eos)
            yield encode(prompt.removeprefix(done)), False
            answer = message["content"]
            yield [*encode(answer), *([] if self.end is None else [self.end])], True
            done = prompt + answer + self.eos


class PretrainedDecoder(nn.Module):
    """Logits (batch, sequence, vocabulary) by transformers' model."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids=input_ids).logits
        return logits


@dataclass(frozen=True)
class DecoderBase:
    """A decoder with its tokenizer."""

    source: Source
    config: Any
    architecture: Architecture
    head: Head
    tokenizer: Tokenizer

    def load(self) -> nn.Module:
        return PretrainedDecoder(load_model(self.source))

    @cached_property
    def chat(self) -> ChatFormat:
        end = next(iter(self.head.eos), None)
        bos, eos = ("" if token is None else self.tokenizer.id_to_token(token) or "" for token in (self.head.bos, end))
        return ChatFormat(chat_template(self.source) or "", end, bos, eos)

    def write(self, network: nn.Module | None, path: Path) -> None:
        """Write the fp32 graph of a network that `load` returned."""
        assert isinstance(network, PretrainedDecoder)
        with tempfile.TemporaryDirectory() as folder:
            network.model.save_pretrained(folder)
            weights = FamilyWeights(FAMILIES[self.config.model_type], self.config, TensorFiles(Path(folder)))

            def weight(name: str) -> Any:
                values = weights(name)
                # The quantizer treats embedding and output matrix apart.
                return weights("tokens.weight") if values is None and name == "head.weight" else values

            decoder_graph.write_decoder(self.architecture, weight, path)


def open_decoder(base: str) -> DecoderBase:
    """The decoder of a folder or a hub id. Raises RecipeError for anything else."""
    source = bases.source(base)
    options = ImportOptions(name="decoder")
    if not accepts(source, options):
        kind = source.config.get("model_type") or "model without config.json"
        raise RecipeError(
            f"--from {base} is a {kind}; text-generation starts from a decoder with safetensors of one of "
            f"{', '.join(FAMILIES)}, or without --from, from scratch."
        )
    require_files(source, ("config.json", "tokenizer.json"))
    config = read_config(source)
    files = TensorFiles(source.folder)
    architecture = architecture_of(FAMILIES[config.model_type], config, StreamedModel(source, config, files).rotary())
    weights = FamilyWeights(FAMILIES[config.model_type], config, files)
    head = decoder_recipe(source, options, architecture, weights).head
    assert isinstance(head, Head)
    tokenizer = Tokenizer.from_file(str(source.folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return DecoderBase(source, config, architecture, structs.replace(head, reusable=False), tokenizer)
