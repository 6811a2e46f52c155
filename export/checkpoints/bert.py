"""Hugging Face BERT folders."""

from __future__ import annotations

import torch
from torch import nn

from export.bert import Classifier, Shape, read_shape, read_weights
from export.checkpoints.folder import Checkpoint, imported
from export.graph import traced
from export.recipe import DynamicInt8, Recipe, RecipeError
from hearth.manifest import Limits, TextPreprocessing

TEXTS = (
    "A wonderful film, I loved every minute of it.",
    "The room was dirty and nobody answered our calls.",
    "Can you tell me when the next train leaves?",
    "我非常喜欢这个电影",
    "The parcel came two days late, but the shop was kind about it and paid the postage back at once.",
)
"""What torch and served graph are compared on: there is no dev set."""


def recipe_of(checkpoint: Checkpoint) -> Recipe:
    if checkpoint.architecture != "BertForSequenceClassification":
        raise RecipeError(
            f"{checkpoint.folder}/config.json is of {checkpoint.architecture}; only BertForSequenceClassification "
            "is imported."
        )
    labels = checkpoint.labels
    shape = shape_of(checkpoint, len(labels))
    return imported(
        checkpoint,
        task="text-classification",
        description=f"A BERT classifier, imported: {checkpoint.title}.",
        labels=labels,
        network=lambda work: loaded(Classifier(shape), checkpoint),
        graphs={
            "main": traced(
                lambda: {"input_ids": torch.ones(2, 8).long(), "attention_mask": torch.ones(2, 8).long()},
                {key: {0: "batch", 1: "sequence"} for key in ("input_ids", "attention_mask")},
            )
        },
        golden=lambda: TEXTS,
        preprocessing=TextPreprocessing(
            tokenizer="tokenizer.json", max_tokens=shape.positions, pad_id=checkpoint.config.get("pad_token_id", 0)
        ),
        quantization=DynamicInt8(),
        limits=Limits(batch=64, characters=20_000),
    )


def shape_of(checkpoint: Checkpoint, labels: int = 0) -> Shape:
    try:
        return read_shape(checkpoint.folder, labels)
    except (ValueError, KeyError) as error:
        raise RecipeError(f"This checkpoint cannot be imported: {error}") from None


def loaded(network: nn.Module, checkpoint: Checkpoint) -> nn.Module:
    """`network` with the checkpoint's weights."""
    try:
        network.load_state_dict(read_weights(checkpoint.folder))
    except RuntimeError as error:
        raise RecipeError(f"{checkpoint.folder}/model.safetensors does not fit config.json: {error}") from None
    return network
