"""Hugging Face BERT folders with each head: sequences, tokens, masks, spans."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from hearth.models.manifest import Entailment, Limits, Mask, Spans, Tagging, TextPreprocessing
from hearth_build.checkpoints.folder import Checkpoint, imported
from hearth_build.networks.bert import Classifier, Shape, named, shape_from
from hearth_build.networks.bert_heads import Guesser, Reader, TokenClassifier
from hearth_build.onnx_export.export import traced
from hearth_build.recipe import DynamicInt8, Recipe, RecipeError

TEXTS = (
    "A wonderful film, I loved every minute of it.",
    "The room was dirty and nobody answered our calls.",
    "Can you tell me when the next train leaves?",
    "我非常喜欢这个电影",
    "The parcel came two days late, but the shop was kind about it and paid the postage back at once.",
)
"""What torch and served graph are compared on: there is no dev set."""
CONTEXT = (
    "The mill stands by the river since 1873. Anna Berg bought it from her uncle and made it a hotel of ten rooms."
)
QUESTIONS = ("Who bought the mill?", "How many rooms are there?")
NAMES = "Anna Berg took the night train from Oslo to Berlin, where she works for Siemens."
LEFT_OUT = ("bert.pooler.", "cls.seq_relationship.", "cls.predictions.decoder.")
"""Weights that a checkpoint may have beyond its head: of its pre-training, or tied to others."""


def recipe_of(checkpoint: Checkpoint) -> Recipe:
    made = HEADS.get(checkpoint.architecture)
    if made is None:
        raise RecipeError(
            f"{checkpoint.folder}/config.json is of {checkpoint.architecture}; imported are {', '.join(HEADS)}, and "
            "BertModel in a sentence-transformers folder (with modules.json)."
        )
    return made(checkpoint)


def sequences(checkpoint: Checkpoint) -> Recipe:
    """A classifier, or a zero-shot classifier where a label is called entailment."""
    labels = checkpoint.labels
    shape = shape_of(checkpoint, len(labels))
    entailment = [index for index, label in enumerate(labels) if label.lower().startswith("entail")]
    problem = checkpoint.config.get("problem_type")
    if problem == "regression":
        activation = "none"
    else:
        activation = "sigmoid" if problem == "multi_label_classification" or len(labels) == 1 else "softmax"
    if not entailment:
        return recipe(
            checkpoint,
            shape,
            "text-classification",
            "classifier",
            network=partial(Classifier, shape),
            golden=TEXTS,
            labels=labels,
            activation=activation,
        )
    contradiction = [index for index, label in enumerate(labels) if label.lower().startswith("contradict")]
    return recipe(
        checkpoint,
        shape,
        "zero-shot-classification",
        "zero-shot classifier",
        network=partial(Classifier, shape),
        golden=[{"inputs": text, "candidate_labels": ["praise", "complaint", "question"]} for text in TEXTS],
        types=True,
        labels=labels,
        # As transformers: without a label of that name, the first one, or the last where the first is entailment.
        head=Entailment(entailment[0], contradiction[0] if contradiction else (0, len(labels) - 1)[entailment[0] == 0]),
    )


def tokens(checkpoint: Checkpoint) -> Recipe:
    labels = checkpoint.labels
    shape = shape_of(checkpoint, len(labels))
    return recipe(
        checkpoint,
        shape,
        "token-classification",
        "token classifier",
        network=partial(TokenClassifier, shape),
        golden=(NAMES, *TEXTS),
        varying=("logits",),
        labels=labels,
        head=Tagging(stride=min(128, shape.positions // 4)),
    )


def masks(checkpoint: Checkpoint) -> Recipe:
    shape = shape_of(checkpoint)
    token = mask_token(checkpoint)
    number = Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json")).token_to_id(token)
    if number is None:
        raise RecipeError(f"{checkpoint.folder}/tokenizer.json has no token {token!r}, which stands for a masked one.")
    if not checkpoint.config.get("tie_word_embeddings", True):
        raise RecipeError(f"{checkpoint.folder}/config.json: only tie_word_embeddings true is imported.")
    return recipe(
        checkpoint,
        shape,
        "fill-mask",
        "masked language model",
        network=partial(Guesser, shape, number),
        golden=[f"A wonderful {token}, I loved every minute of it.", f"Can you tell me {token} the next train leaves?"],
        example=lambda: torch.full((2, 8), number),
        head=Mask(number),
    )


def spans(checkpoint: Checkpoint) -> Recipe:
    shape = shape_of(checkpoint)
    return recipe(
        checkpoint,
        shape,
        "question-answering",
        "reader",
        network=partial(Reader, shape),
        golden=[{"question": question, "context": CONTEXT} for question in QUESTIONS],
        types=True,
        outputs=("start_logits", "end_logits"),
        varying=("start_logits", "end_logits"),
        head=Spans(stride=min(128, shape.positions // 4)),
    )


HEADS: dict[str, Callable[[Checkpoint], Recipe]] = {
    "BertForSequenceClassification": sequences,
    "BertForTokenClassification": tokens,
    "BertForMaskedLM": masks,
    "BertForQuestionAnswering": spans,
}


def recipe(
    checkpoint: Checkpoint,
    shape: Shape,
    task: str,
    kind: str,
    *,
    network: Callable[[], nn.Module],
    golden: Sequence[Any],
    types: bool = False,
    outputs: tuple[str, ...] = ("logits",),
    varying: tuple[str, ...] = (),
    example: Callable[[], torch.Tensor] = lambda: torch.ones(2, 8).long(),
    **fields: Any,
) -> Recipe:
    """`types`: whether the network reads pairs; `varying`: outputs that are as long as the texts."""
    inputs = ("input_ids", "attention_mask", *["token_type_ids"] * types)
    return imported(
        checkpoint,
        task=task,
        description=f"A BERT {kind}, imported: {checkpoint.title}.",
        network=lambda work: loaded(network(), checkpoint),
        graphs={
            "main": traced(
                lambda: {name: example() if name == "input_ids" else torch.ones(2, 8).long() for name in inputs},
                {name: {0: "batch", 1: "sequence"} for name in (*inputs, *varying)},
                outputs,
            )
        },
        golden=lambda: golden,
        preprocessing=TextPreprocessing(
            tokenizer="tokenizer.json", max_tokens=shape.positions, pad_id=checkpoint.config.get("pad_token_id") or 0
        ),
        quantization=DynamicInt8(),
        limits=Limits(batch=64, characters=20_000),
        **fields,
    )


def shape_of(checkpoint: Checkpoint, labels: int = 0) -> Shape:
    try:
        return shape_from(checkpoint.config, labels)
    except (ValueError, KeyError) as error:
        raise RecipeError(f"This checkpoint cannot be imported: {error}") from None


def loaded(network: nn.Module, checkpoint: Checkpoint) -> nn.Module:
    """`network` with the checkpoint's weights."""
    known = network.state_dict()
    weights = {
        name: value
        for name, value in named(checkpoint.weights()).items()
        if name in known or not name.startswith(LEFT_OUT)
    }
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise RecipeError(f"{checkpoint.folder}/model.safetensors does not fit config.json: {error}") from None
    return network


def mask_token(checkpoint: Checkpoint) -> str:
    """What tokenizer_config.json calls it, or BERT's own."""
    path = checkpoint.folder / "tokenizer_config.json"
    named = json.loads(path.read_text(encoding="utf-8")).get("mask_token") if path.is_file() else None
    return str(named["content"] if isinstance(named, dict) else named or "[MASK]")
