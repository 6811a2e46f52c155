"""deepspeech-digits: transcribes one or several spoken English digits letter by letter."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hearth.models.heads import Ctc
from hearth.models.manifest import Limits
from hearth.ops.audio.ctc import greedy
from hearth.ops.audio.log_mel import log_mel
from hearth_build.data.ngram_lm import arpa
from hearth_build.networks.deepspeech import STRIDE, DeepSpeech, ctc_loss
from hearth_build.onnx_export.export import traced
from hearth_build.recipe import AdamW, Batch, Gate, OneCycle, Recipe, Stage, StaticInt8
from hearth_build.recipes.deepspeech_digits import data

SYMBOLS = (*data.ALPHABET, "")


def network(work: Path) -> nn.Module:
    return DeepSpeech(data.FEATURES.mels, len(SYMBOLS))


def loss(network: nn.Module, batch: Batch) -> Tensor:
    return ctc_loss(network(batch["features"]), batch["targets"], batch["lengths"], data.BLANK)


def score(network: nn.Module, work: Path) -> dict[str, float]:
    """Return the accuracy: the share of digits and of strings that are transcribed without an error."""
    takes = data.takes_of(work, data.VALIDATION_TAKES)
    sets = {
        "digits": [(take.sound, data.WORDS[take.digit]) for take in takes],
        "strings": data.make_strings(takes, 60, seed=5),
    }
    accuracies = {}
    for name, examples in sets.items():
        accuracies[name] = float(np.mean([transcribe(network, sound) == text for sound, text in examples]))
    return {"accuracy": sum(accuracies.values()) / len(accuracies), **accuracies}


def transcribe(network: nn.Module, sound: np.ndarray) -> str:
    features = log_mel(np.pad(sound, int(data.MARGIN * data.FEATURES.rate)), data.FEATURES)
    log_probabilities = network(torch.from_numpy(features)[None])[0].numpy()
    return "".join(data.ALPHABET[emission.symbol] for emission in greedy(log_probabilities, data.BLANK))


def language_model(work: Path) -> bytes:
    """Return a language model of the letters of all strings of up to three digits, in ARPA format."""
    strings = [string for count in (1, 2, 3) for string in itertools.product(data.WORDS, repeat=count)]
    return arpa((" ".join(string) for string in strings), order=6)


RECIPE = Recipe(
    name="deepspeech-digits",
    version="2",
    task="automatic-speech-recognition",
    description="Transcribes spoken English digits, single or in strings: a small Deep Speech 2 (0.27 M parameters).",
    licence="CC-BY-SA-4.0",
    labels=SYMBOLS,
    sources=(data.SOURCE,),
    prepare=data.prepare,
    stages=(
        Stage(
            name="train",
            network=network,
            batches=data.training,
            loss=loss,
            score=score,
            optimiser=AdamW(learning_rate=3e-3),
            schedule=OneCycle(warmup=0.15),
            epochs=42,
            batch_size=32,
            max_grad_norm=5.0,
            ema_decay=0.995,
        ),
    ),
    graphs={
        "main": traced(
            lambda: {"features": torch.randn(2, 100, data.FEATURES.mels)},
            {"features": {0: "batch", 1: "frames"}, "logits": {0: "batch", 1: "steps"}},
        )
    },
    dev={
        "FSDD takes 5 to 9": data.dev_digits,
        "strings of 2 to 7 of them": data.dev_strings((0.05, 0.4)),
        "the same without pauses": data.dev_strings((0.0, 0.0)),
        "the same with pauses up to 2 s": data.dev_strings((0.3, 2.0)),
    },
    golden=data.synthetic,
    preprocessing=data.FEATURES,
    head=Ctc(
        blank=data.BLANK,
        language="en",
        stride=STRIDE,
        chunk_seconds=10.0,
        margin_seconds=data.MARGIN,
        beams=8,
        language_model="letters.arpa",
        language_weight=0.6,
        letter_bonus=0.5,
    ),
    resources={"letters.arpa": language_model},
    quantization=StaticInt8(data.calibration, keep=("classifier",)),
    gate=Gate(metric=0.03, quantization_loss=0.005, bytes=2_000_000),
    limits=Limits(batch=1, seconds=300),
    limitations=(
        "Without its letter language model, 6 % of the single digits are transcribed wrongly (`eighe`, `thre`).",
        "It knows ten words; everything else is transcribed as the most similar digits or letters.",
        "Measured on other recordings of the six adult speakers of the training data; results for other speakers and "
        "accents are worse, but were not measured.",
        "The language model was added after errors on these recordings were known, so the results are slightly better "
        "than for unknown recordings.",
        "Trained with few pauses longer than 0.8 s: digits with longer pauses have more errors (see the table).",
        "Strings are concatenated recordings of single digits; in fluent speech, digits are less separated.",
    ),
)
