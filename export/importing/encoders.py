"""Text encoders with safetensors, of any family: transformers' own class, exported by torch's exporter."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hearth.models.heads import Mask
from hearth_build.importing import pooling
from hearth_build.importing.base import ImportedModel, Importer, ImportOptions
from hearth_build.importing.pooling import SentenceModules
from hearth_build.importing.recipe import import_recipe
from hearth_build.importing.source import Source
from hearth_build.importing.text_tasks import TextTask, is_text_encoder, read_task, recipe_fields
from hearth_build.importing.text_tokenizer import read_tokenizer
from hearth_build.importing.transformers_models import POOLER, load_model
from hearth_build.networks.pooling import pool
from hearth_build.onnx_export.export import exported
from hearth_build.recipe import DynamicInt8, RecipeError

AXES = {0: "batch", 1: "sequence"}


def accepts(source: Source, options: ImportOptions) -> bool:
    return bool(source.weights) and not source.graphs and is_text_encoder(source, options)


def read(source: Source, options: ImportOptions) -> ImportedModel:
    tokenizer = read_tokenizer(source)
    config = source.config
    hidden = int(config.get("hidden_size") or config.get("dim") or config.get("d_model") or config.get("n_embd") or 0)
    task = read_task(source, options, tokenizer.tokenizer, hidden)
    inputs = ["input_ids", "attention_mask"]
    if task.has_pairs and tokenizer.has_types and config.get("type_vocab_size", 0) > 1:
        inputs.append("token_type_ids")
    modules = pooling.read_modules(source, options) if task.task == "feature-extraction" else None
    recipe = import_recipe(
        source,
        options,
        description=f"{source.architecture}, imported: {source.title}.",
        prepare=lambda work: tokenizer.save(work),
        network=lambda work: load_network(source, task, modules),
        graphs={
            "main": exported(
                lambda: example(inputs, getattr(task.head, "token_id", 5)), {0: "batch", 1: "sequence"}, task.outputs
            )
        },
        **recipe_fields(source, task, tokenizer),
    )
    lines = [f"{source.architecture} of {source.title}, {len(source.weights)} file(s) of safetensors"]
    return ImportedModel(recipe, [*lines, task.conclusion()], {"int8": DynamicInt8()})


def example(inputs: Sequence[str], token: int) -> dict[str, Tensor]:
    """Inputs for the export: two texts of eight tokens, one of them padded."""
    values = {name: torch.zeros(2, 8, dtype=torch.int64) for name in inputs}
    values["input_ids"] += token
    values["attention_mask"] += 1
    values["attention_mask"][1, 6:] = 0
    return values


def load_network(source: Source, task: TextTask, modules: SentenceModules | None) -> nn.Module:
    """The model in fp32, as the network whose graph is served."""
    is_base = modules is not None and not source.architecture.endswith("EncoderModel")  # T5 without its decoder
    name = source.architecture.replace("ForPreTraining", "ForMaskedLM")  # without the head for next sentences
    model: Any = load_model(source, "AutoModel", unread=POOLER) if is_base else load_model(source, name)
    if "bbox" in inspect.signature(model.forward).parameters:
        raise RecipeError(
            f"{source.path} has a {name}, which reads the place of each word on its page (bbox); no task here takes "
            "places. Export it to ONNX, and import the .onnx file with --task tensors."
        )
    if source.config.get("is_encoder_decoder") and task.task != "feature-extraction":
        return DecoderClassifier(model).eval()
    is_causal = hasattr(model, "score") and task.task == "text-classification"
    if isinstance(task.head, Mask):
        return MaskedTokens(model, task.head.token_id).eval()
    if modules and modules.are_in_graph:
        return Encoder(model, task.outputs, pooling.pooling_network(modules, source)).eval()
    if is_causal:
        return CausalClassifier(model).eval()
    return Encoder(model, task.outputs).eval()


def named(input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None) -> dict[str, Tensor]:
    """The inputs of transformers' model; one without types of tokens does not get them."""
    types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
    return {"input_ids": input_ids, "attention_mask": attention_mask} | types


class Encoder(nn.Module):
    """transformers' model. It gives `outputs`, or the vectors of `head`."""

    def __init__(self, model: nn.Module, outputs: Sequence[str], head: nn.Module | None = None) -> None:
        super().__init__()
        self.model, self.head = model, head
        self.outputs = ["last_hidden_state" if name == "tokens" else name for name in outputs]

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Any:
        feeds = named(input_ids, attention_mask, token_type_ids)
        result = self.model(**feeds)
        tensors = tuple(result[name] for name in self.outputs)
        if self.head is not None:
            return self.head(tensors[0], feeds["attention_mask"])
        return tensors[0] if len(tensors) == 1 else tensors


class DecoderClassifier(nn.Module):
    """Logits of an encoder-decoder such as BART: its head reads what the decoder says at the last end of a text."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        if not hasattr(model, "classification_head") or not hasattr(model, "model"):
            raise RecipeError(
                f"{type(model).__name__} is not supported; of the encoder-decoders that classify texts, those of "
                "BART's family are. Export it to ONNX, and import the .onnx file."
            )
        self.base, self.head, self.eos = model.model, model.classification_head, model.config.eos_token_id

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        states = self.base(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state
        places = torch.arange(input_ids.shape[1]) * (input_ids == self.eos)
        last = places.argmax(1, keepdim=True)[..., None].expand(-1, 1, states.shape[-1])
        logits: Tensor = self.head(states.gather(1, last)[:, 0])
        return logits


class MaskedTokens(nn.Module):
    """Logits (masked tokens, vocabulary) for each token with the id `mask_id`, row after row.

    The model's own head gets the hidden states of masked tokens alone: logits of all tokens would take most of the
    time and memory.
    """

    def __init__(self, model: Any, mask_id: int) -> None:
        super().__init__()
        self.model, self.mask_id = model, mask_id
        prefix = model.base_model_prefix
        setattr(model, prefix, Selection(getattr(model, prefix)))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        feeds = named(input_ids, attention_mask, token_type_ids)
        self.selection.chosen = feeds["input_ids"] == self.mask_id
        logits: Tensor = self.model(**feeds)["logits"]
        return logits.squeeze(0)

    @property
    def selection(self) -> Any:
        return getattr(self.model, self.model.base_model_prefix)


class Selection(nn.Module):
    """A base model of which the head sees the hidden states of `chosen` tokens, as one row (1, tokens, hidden)."""

    chosen: Tensor

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("base"), name)

    def forward(self, *arguments: Any, **options: Any) -> Any:
        result = self.base(*arguments, **options)
        result.last_hidden_state = result[0][self.chosen].unsqueeze(0)
        return result


class CausalClassifier(nn.Module):
    """Logits (batch, labels) of the last token that is not padding, from a decoder with a `score`."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        feeds = named(input_ids, attention_mask, token_type_ids)
        tokens = getattr(self.model, self.model.base_model_prefix)(**feeds)[0]
        logits: Tensor = self.model.score(pool(tokens, feeds["attention_mask"], "last"))
        return logits


IMPORTERS = (Importer("text encoders", accepts, read),)
