"""Hugging Face BERT folders: sequence and token classification, masked language models, question answering."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from hearth.models.manifest import Entailment, Limits, Mask, Spans, Tagging, TextPreprocessing
from hearth_build.importing.base import ImportOptions
from hearth_build.importing.recipe import import_recipe
from hearth_build.importing.source import Source
from hearth_build.networks.bert import Classifier, Shape, rename_weights, shape_from
from hearth_build.networks.bert_heads import MaskedTokenPredictor, SpanPredictor, TokenClassifier
from hearth_build.onnx_export.export import traced
from hearth_build.recipe import Recipe, RecipeError

TEXTS = (
    "A wonderful film, I loved every minute of it.",
    "The room was dirty and nobody answered our calls.",
    "Can you tell me when the next train leaves?",
    "我非常喜欢这个电影",
    "The parcel came two days late, but the shop was kind about it and paid the postage back at once.",
)
"""Golden inputs: an import has no dev set, so the torch model and the served graph are compared on these."""
CONTEXT = (
    "The mill stands by the river since 1873. Anna Berg bought it from her uncle and made it a hotel of ten rooms."
)
QUESTIONS = ("Who bought the mill?", "How many rooms are there?")
NAMES = "Anna Berg took the night train from Oslo to Berlin, where she works for Siemens."
IGNORED_WEIGHTS = ("bert.pooler.", "cls.seq_relationship.", "cls.predictions.decoder.")
"""Prefixes of weights that a checkpoint may have but its head does not use: from pre-training, or tied to others."""


def recipe_of(source: Source, options: ImportOptions) -> Recipe:
    build = HEADS.get(source.architecture)
    if build is None:
        raise RecipeError(
            f"{source.path}/config.json has the unsupported architecture {source.architecture}; supported "
            f"are {', '.join(HEADS)}, and BertModel in a sentence-transformers folder (with modules.json)."
        )
    return build(source, options)


def sequence_classification(source: Source, options: ImportOptions) -> Recipe:
    """Return the recipe of a classifier, or of a zero-shot classifier if one of the labels is `entailment`."""
    labels = source.labels
    shape = shape_of(source, len(labels))
    entailment = [index for index, label in enumerate(labels) if label.lower().startswith("entail")]
    problem = source.config.get("problem_type")
    if problem == "regression":
        activation = "none"
    else:
        activation = "sigmoid" if problem == "multi_label_classification" or len(labels) == 1 else "softmax"
    if not entailment:
        return bert_recipe(
            source,
            options,
            shape,
            "text-classification",
            "classifier",
            network=partial(Classifier, shape),
            golden=TEXTS,
            labels=labels,
            activation=activation,
        )
    contradiction = [index for index, label in enumerate(labels) if label.lower().startswith("contradict")]
    if not contradiction:
        # transformers takes the first label, or the last if the first one is entailment.
        contradiction = [len(labels) - 1 if entailment[0] == 0 else 0]
    return bert_recipe(
        source,
        options,
        shape,
        "zero-shot-classification",
        "zero-shot classifier",
        network=partial(Classifier, shape),
        golden=[{"inputs": text, "candidate_labels": ["praise", "complaint", "question"]} for text in TEXTS],
        has_token_types=True,
        labels=labels,
        head=Entailment(entailment[0], contradiction[0]),
    )


def token_classification(source: Source, options: ImportOptions) -> Recipe:
    labels = source.labels
    shape = shape_of(source, len(labels))
    return bert_recipe(
        source,
        options,
        shape,
        "token-classification",
        "token classifier",
        network=partial(TokenClassifier, shape),
        golden=(NAMES, *TEXTS),
        sequence_outputs=("logits",),
        labels=labels,
        head=Tagging(stride=min(128, shape.positions // 4)),
    )


def masked_language_model(source: Source, options: ImportOptions) -> Recipe:
    shape = shape_of(source)
    token = mask_token(source)
    mask_id = Tokenizer.from_file(str(source.folder / "tokenizer.json")).token_to_id(token)
    if mask_id is None:
        raise RecipeError(f"{source.folder}/tokenizer.json does not contain the mask token {token!r}.")
    if not source.config.get("tie_word_embeddings", True):
        raise RecipeError(f"{source.path}/config.json: tie_word_embeddings must be true.")
    return bert_recipe(
        source,
        options,
        shape,
        "fill-mask",
        "masked language model",
        network=partial(MaskedTokenPredictor, shape, mask_id),
        golden=[f"A wonderful {token}, I loved every minute of it.", f"Can you tell me {token} the next train leaves?"],
        example=lambda: torch.full((2, 8), mask_id),
        head=Mask(mask_id),
    )


def question_answering(source: Source, options: ImportOptions) -> Recipe:
    shape = shape_of(source)
    return bert_recipe(
        source,
        options,
        shape,
        "question-answering",
        "question answering model",
        network=partial(SpanPredictor, shape),
        golden=[{"question": question, "context": CONTEXT} for question in QUESTIONS],
        has_token_types=True,
        outputs=("start_logits", "end_logits"),
        sequence_outputs=("start_logits", "end_logits"),
        head=Spans(stride=min(128, shape.positions // 4)),
    )


HEADS: dict[str, Callable[[Source, ImportOptions], Recipe]] = {
    "BertForSequenceClassification": sequence_classification,
    "BertForTokenClassification": token_classification,
    "BertForMaskedLM": masked_language_model,
    "BertForQuestionAnswering": question_answering,
}


def bert_recipe(
    source: Source,
    options: ImportOptions,
    shape: Shape,
    task: str,
    kind: str,
    *,
    network: Callable[[], nn.Module],
    golden: Sequence[Any],
    has_token_types: bool = False,
    outputs: tuple[str, ...] = ("logits",),
    sequence_outputs: tuple[str, ...] = (),
    example: Callable[[], torch.Tensor] = lambda: torch.ones(2, 8).long(),
    **fields: Any,
) -> Recipe:
    """Return the recipe. `has_token_types`: the network reads pairs of texts. `sequence_outputs`: one row per token."""
    inputs = ["input_ids", "attention_mask"]
    if has_token_types:
        inputs.append("token_type_ids")
    return import_recipe(
        source,
        options,
        task=task,
        description=f"An imported BERT {kind}: {source.title}.",
        network=lambda work: load_weights(network(), source),
        graphs={
            "main": traced(
                lambda: {name: example() if name == "input_ids" else torch.ones(2, 8).long() for name in inputs},
                {name: {0: "batch", 1: "sequence"} for name in (*inputs, *sequence_outputs)},
                outputs,
            )
        },
        golden=lambda: golden,
        preprocessing=TextPreprocessing(
            tokenizer="tokenizer.json", max_tokens=shape.positions, pad_id=source.config.get("pad_token_id") or 0
        ),
        limits=Limits(batch=64, characters=20_000),
        **fields,
    )


def shape_of(source: Source, labels: int = 0) -> Shape:
    try:
        return shape_from(source.config, labels)
    except (ValueError, KeyError) as error:
        raise RecipeError(f"This checkpoint cannot be imported: {error}") from None


def load_weights(network: nn.Module, source: Source) -> nn.Module:
    """Load the checkpoint's weights into `network` and return it. Raises RecipeError if they do not fit."""
    expected = network.state_dict()
    weights = {
        name: value
        for name, value in rename_weights(source.load_weights()).items()
        if name in expected or not name.startswith(IGNORED_WEIGHTS)
    }
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise RecipeError(f"{source.folder}/model.safetensors does not fit config.json: {error}") from None
    return network


def mask_token(source: Source) -> str:
    """Return the mask token of tokenizer_config.json, or BERT's own."""
    token = source.read_json("tokenizer_config.json").get("mask_token")
    return str(token["content"] if isinstance(token, dict) else token or "[MASK]")
