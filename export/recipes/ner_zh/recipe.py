"""ner-zh: persons, places and organisations in Chinese text, by dilated convolutions over characters."""

from __future__ import annotations

from pathlib import Path

import torch
from seqeval.metrics import f1_score
from torch import Tensor, nn
from torch.nn import functional

from hearth.models.heads import Tagging
from hearth.models.manifest import Limits
from hearth.models.preprocessing import TextPreprocessing
from hearth_build.data.tagged_texts import IGNORE_INDEX, TaggedTexts, predict_labels
from hearth_build.networks.character_tagger import Tagger
from hearth_build.onnx_export.export import traced
from hearth_build.recipe import AdamW, Batch, DynamicInt8, Gate, OneCycle, Recipe, Stage
from hearth_build.recipes.ner_zh import data

MAX_TOKENS = 256


def batches(work: Path) -> TaggedTexts:
    rows, labels = zip(*data.rows_of(work, data.read(work, "train")), strict=True)
    return TaggedTexts(list(rows), {}, list(labels))


def loss(network: nn.Module, batch: Batch) -> Tensor:
    logits = network(batch["input_ids"], batch["attention_mask"])
    return functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORE_INDEX)


def score(network: nn.Module, work: Path) -> dict[str, float]:
    rows = data.rows_of(work, data.read(work, "dev"))
    predicted = predict_labels(network, [ids for ids, _ in rows])
    expected = [labels for _, labels in rows]
    return {
        "F1": float(
            f1_score(*([[data.LABELS[n] for n in labels] for labels in part] for part in (expected, predicted)))
        )
    }


RECIPE = Recipe(
    name="ner-zh",
    task="token-classification",
    description="Finds names of persons, places and organisations in Chinese text.",
    licence="Apache-2.0",
    labels=data.LABELS,
    sources=(data.MSRA,),
    prepare=data.prepare,
    stages=(
        Stage(
            name="tagger",
            network=lambda work: Tagger(len(data.LABELS), data.VOCABULARY),
            batches=batches,
            loss=loss,
            score=score,
            optimiser=AdamW(learning_rate=2e-3),
            schedule=OneCycle(warmup=0.1),
            epochs=5,
            batch_size=48,
            max_grad_norm=1.0,
            ema_decay=0.998,
        ),
    ),
    graphs={
        "main": traced(
            lambda: {"input_ids": torch.ones(2, 24).long(), "attention_mask": torch.ones(2, 24).long()},
            {name: {0: "batch", 1: "sequence"} for name in ("input_ids", "attention_mask", "logits")},
        )
    },
    dev={"MSRA sentences, held-out tenth": data.dev},
    golden=lambda: (
        "王小明昨天从北京大学出发，去了上海。",
        "国务院总理在人民大会堂会见了法国外交部长。",
        "小李明天要去看电影。",
    ),
    expected={
        "王小明昨天从北京大学出发，去了上海。": "王小明 PER, 北京大学 ORG, 上海 LOC",
        "国务院总理在人民大会堂会见了法国外交部长。": "国务院 ORG, 人民大会堂 LOC, 法国外交部 ORG",
    },
    preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=MAX_TOKENS),
    head=Tagging(stride=32),
    quantization=DynamicInt8(),
    gate=Gate(metric=0.80, quantization_loss=0.01, bytes=6_000_000),
    limits=Limits(batch=64, characters=20_000),
    reference="BERT-base (110 M parameters, pre-trained) reaches about 0.95 on MSRA's own test set.",
    limitations=(
        "It was trained on newspaper sentences of 1998; results for other texts and for recent names are worse.",
        "It sees characters only and knows no words: in 小李明天要去看电影 it takes 李明 for the name.",
        "It knows only persons (PER), places (LOC) and organisations (ORG).",
        "MSRA states no licence: check before commercial use.",
        "The best epoch was selected on the same held-out sentences, so the F1 is slightly too high.",
    ),
)
