"""deepspeech-digits: spoken English digits, one or several, written out letter by letter."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hearth.models.manifest import Ctc, Limits
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
    """The part of digits and of strings that are written without any fault."""
    takes = data.takes_of(work, data.CHOICE_TAKES)
    sets = {
        "digits": [(take.sound, data.WORDS[take.digit]) for take in takes],
        "strings": data.joined(takes, 60, seed=5),
    }
    right = {}
    for name, examples in sets.items():
        right[name] = float(np.mean([written(network, sound) == text for sound, text in examples]))
    return {"right": sum(right.values()) / len(right), **right}


def written(network: nn.Module, sound: np.ndarray) -> str:
    features = log_mel(np.pad(sound, int(data.MARGIN * data.FEATURES.rate)), data.FEATURES)
    logs = network(torch.from_numpy(features)[None])[0].numpy()
    return "".join(data.ALPHABET[heard.symbol] for heard in greedy(logs, data.BLANK))


def language(work: Path) -> bytes:
    """Letters of all strings of up to three digits."""
    strings = [string for count in (1, 2, 3) for string in itertools.product(data.WORDS, repeat=count)]
    return arpa((" ".join(string) for string in strings), order=6)


RECIPE = Recipe(
    name="deepspeech-digits",
    version="2",
    task="automatic-speech-recognition",
    description="Spoken English digits, alone or in strings, written out: Deep Speech 2 in small (0.27 M parameters).",
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
    resources={"letters.arpa": language},
    quantization=StaticInt8(data.calibration, keep=("classifier",)),
    gate=Gate(metric=0.03, quantization_loss=0.005, bytes=2_000_000),
    limits=Limits(batch=1, seconds=300),
    limitations=(
        "Without its letters' language model, 0.06 of the single digits are misspelled or misheard (`eighe`, `thre`).",
        "It knows ten words; whatever else is said comes out as the digits or letters that are nearest.",
        "The figures are of other recordings of the six speakers that it learnt from, none a child; strangers and "
        "accents are understood less well, how much was not measured.",
        "The language model was added after errors on these recordings had been seen, which flatters a little.",
        "Trained on pauses of up to 0.8 s, hardly any longer: long ones are misheard more often (see the table).",
        "Strings were made by joining recordings of single digits: fluent speech runs together more.",
    ),
)
