"""sentiment-zh: a small BERT, pre-trained on Chinese sentences, then distilled from a bag of n-grams on reviews."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from hearth.models.manifest import Limits
from hearth.models.preprocessing import TextPreprocessing
from hearth_build.data.text import (
    MASK,
    MaskedTexts,
    Texts,
    accuracy,
    distillation_loss,
    distillation_texts,
    logits_of,
    tokens_of,
)
from hearth_build.networks.bert import MaskedLanguageModel
from hearth_build.onnx_export.export import traced
from hearth_build.recipe import AdamW, Batch, DynamicInt8, Gate, Linear, Recipe, Stage
from hearth_build.recipes.sentiment_zh import data
from hearth_build.recipes.sentiment_zh.network import MAX_TOKENS, SHAPE, student, teacher

SMOOTHING = 0.05


def language_batches(work: Path) -> MaskedTexts:
    texts = [text for text, _ in data.read(work, "train")]
    texts += json.loads((work / "unlabelled.json").read_text(encoding="utf-8"))
    mask = Tokenizer.from_file(str(work / "tokenizer.json")).token_to_id(MASK)
    return MaskedTexts(tokens_of(work, texts, MAX_TOKENS), {}, mask_id=mask, vocabulary=SHAPE.vocabulary)


def language_loss(network: nn.Module, batch: Batch) -> Tensor:
    logits = network(batch["input_ids"], batch["attention_mask"], batch["masked"])
    return functional.cross_entropy(logits, batch["targets"])


def teacher_batches(work: Path) -> Texts:
    texts, labels = zip(*data.read(work, "train"), strict=True)
    return Texts(tokens_of(work, texts, MAX_TOKENS), {"labels": torch.tensor(labels)})


def teacher_loss(network: nn.Module, batch: Batch) -> Tensor:
    logits = network(batch["input_ids"], batch["attention_mask"])
    return functional.cross_entropy(logits, batch["labels"], label_smoothing=SMOOTHING)


def student_batches(work: Path) -> Texts:
    unlabelled = json.loads((work / "pieces.json").read_text(encoding="utf-8"))
    return distillation_texts(work, teacher, data.read(work, "train"), unlabelled, MAX_TOKENS)


def student_loss(network: nn.Module, batch: Batch) -> Tensor:
    return distillation_loss(network(batch["input_ids"], batch["attention_mask"]), batch)


def score(network: nn.Module, work: Path) -> dict[str, float]:
    texts, labels = zip(*(data.read(work, "hotels") + data.read(work, "takeaway")), strict=True)
    return {"accuracy": accuracy(logits_of(network, tokens_of(work, texts, MAX_TOKENS)), torch.tensor(labels))}


RECIPE = Recipe(
    name="sentiment-zh",
    task="text-classification",
    description="Classifies Chinese reviews as positive or negative.",
    licence="Apache-2.0",
    labels=("negative", "positive"),
    sources=(data.HOTELS, data.TAKEAWAY, data.STSB, data.TATOEBA, data.MSRA, data.VOCABULARY),
    prepare=data.prepare,
    stages=(
        Stage(
            name="language",
            network=lambda work: MaskedLanguageModel(SHAPE),
            batches=language_batches,
            loss=language_loss,
            score=None,
            optimiser=AdamW(learning_rate=1e-3),
            schedule=Linear(warmup=0.1),
            epochs=4,
            batch_size=32,
            max_grad_norm=1.0,
        ),
        Stage(
            name="teacher",
            network=teacher,
            batches=teacher_batches,
            loss=teacher_loss,
            score=score,
            optimiser=AdamW(learning_rate=0.01, weight_decay=0.0),
            schedule=Linear(warmup=0.1),
            epochs=3,
            batch_size=32,
        ),
        Stage(
            name="student",
            network=student,
            batches=student_batches,
            loss=student_loss,
            score=score,
            optimiser=AdamW(learning_rate=3e-4),
            schedule=Linear(warmup=0.1),
            epochs=3,
            batch_size=32,
            max_grad_norm=1.0,
            ema_decay=0.998,
        ),
    ),
    graphs={
        "main": traced(
            lambda: {"input_ids": torch.ones(2, 8, dtype=torch.int64), "attention_mask": torch.ones(2, 8).long()},
            {name: {0: "batch", 1: "sequence"} for name in ("input_ids", "attention_mask")},
        )
    },
    dev={
        "hotel and takeaway reviews, held-out tenth": data.dev,
        "hotels": partial(data.examples, name="hotels"),
        "takeaway": partial(data.examples, name="takeaway"),
    },
    golden=lambda: (
        "我非常喜欢这个电影",
        "这个电影真的很糟糕",
        "房间干净，服务员很热情，下次还会再来。",
        "送餐太慢了，菜都凉了，味道也很差。",
    ),
    expected={"我非常喜欢这个电影": "positive", "这个电影真的很糟糕": "negative"},
    preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=MAX_TOKENS),
    quantization=DynamicInt8(),
    gate=Gate(metric=0.88, quantization_loss=0.01, bytes=10_000_000),
    limits=Limits(batch=64, characters=20_000),
    limitations=(
        "It was trained on hotel and takeaway reviews; results for other texts are unreliable.",
        "It knows only positive and negative; texts are cut after 160 characters.",
        "Both review corpora and the MSRA sentences state no licence: check before commercial use.",
        "The best epoch was selected on the same held-out reviews, so the accuracy is slightly too high.",
    ),
)
