"""A recipe that trains in seconds: does a sentence of made-up words have more good words than bad ones?"""

from __future__ import annotations

import random
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from hearth.models.manifest import Limits
from hearth.models.preprocessing import TextPreprocessing
from hearth_build.data.text import Texts, accuracy, logits_of, tokenize, wordpiece
from hearth_build.networks.bert import Classifier, Shape
from hearth_build.onnx_export.export import traced
from hearth_build.recipe import AdamW, Batch, DynamicInt8, Example, Gate, Linear, Recipe, Stage

GOOD, BAD = ("good", "fine", "great", "lovely"), ("bad", "poor", "awful", "ugly")
FILLER = tuple(f"word{letter}" for letter in "abcdefghijklmnopqrst")
SHAPE = Shape(
    vocabulary=1040, hidden=32, layers=2, heads=4, intermediate=64, positions=32, labels=2, embedding=16, dropout=0.1
)


def sentences(seed: int, count: int) -> list[tuple[str, int]]:
    generator = random.Random(seed)
    examples = []
    for _ in range(count):
        label = generator.randrange(2)
        words = generator.choices(FILLER, k=generator.randint(2, 8)) + generator.choices((BAD, GOOD)[label], k=2)
        generator.shuffle(words)
        examples.append((" ".join(words), label))
    return examples


def prepare(work: Path) -> None:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GOOD, *BAD, *FILLER]
    vocabulary += [f"unused{number}" for number in range(SHAPE.vocabulary - len(vocabulary))]
    (work / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    wordpiece(work / "vocab.txt").save(str(work / "tokenizer.json"))


def rows(work: Path, texts: list[str]) -> list[list[int]]:
    return tokenize(Tokenizer.from_file(str(work / "tokenizer.json")), texts, SHAPE.positions)


class SlowTexts(Texts):
    """Texts whose batches take long enough that a run can be killed in the middle."""

    def collate(self, indices: list[int], progress: float) -> Batch:  # type: ignore[override]
        time.sleep(0.02)
        return super().collate(indices, progress)


def batches(work: Path, kind: type[Texts] = Texts) -> Texts:
    examples = sentences(1, 400)
    return kind(rows(work, [text for text, _ in examples]), {"labels": torch.tensor([label for _, label in examples])})


def loss(network: nn.Module, batch: Batch) -> Tensor:
    return functional.cross_entropy(network(batch["input_ids"], batch["attention_mask"]), batch["labels"])


def score(network: nn.Module, work: Path) -> dict[str, float]:
    examples = sentences(2, 100)
    logits = logits_of(network, rows(work, [text for text, _ in examples]))
    return {"accuracy": accuracy(logits, torch.tensor([label for _, label in examples]))}


def stage(epochs: int = 4, kind: type[Texts] = Texts) -> Stage:
    return Stage(
        name="train",
        network=lambda work: Classifier(SHAPE),
        batches=lambda work: batches(work, kind),
        loss=loss,
        score=score,
        optimiser=AdamW(learning_rate=5e-3),
        schedule=Linear(),
        epochs=epochs,
        batch_size=20,
        max_grad_norm=1.0,
        ema_decay=0.9,
    )


def recipe(accuracy: float = 0.9, epochs: int = 4, kind: type[Texts] = Texts) -> Recipe:
    return Recipe(
        name="toy",
        task="text-classification",
        description="A toy.",
        licence="Apache-2.0",
        labels=("negative", "positive"),
        sources=(),
        prepare=prepare,
        stages=(stage(epochs, kind),),
        graphs={
            "main": traced(
                lambda: {"input_ids": torch.ones(2, 8).long(), "attention_mask": torch.ones(2, 8).long()},
                {name: {0: "batch", 1: "sequence"} for name in ("input_ids", "attention_mask")},
            )
        },
        dev={"made-up sentences": lambda work: [Example(*item) for item in sentences(2, 100)]},
        golden=lambda: ("good great worda", "bad awful wordb"),
        expected={"good great worda": "positive"},
        preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=SHAPE.positions),
        quantization=DynamicInt8(),
        gate=Gate(metric=accuracy, quantization_loss=0.05, bytes=5_000_000),
        limits=Limits(batch=64, characters=1000),
    )
