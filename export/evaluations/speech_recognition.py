"""automatic-speech-recognition: word and character error rates on recordings with transcripts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from hearth_build.data import transcripts
from hearth_build.data.files import content
from hearth_build.pipeline.evaluation import Evaluation, measure_by
from hearth_build.recipe import Example
from hearth_functions.speech_recognition import app

DATA_FORMAT = transcripts.DATA_FORMAT


def normalize(text: str) -> str:
    """Lower-case words separated by single spaces, without punctuation, which cannot be heard."""
    return " ".join(re.sub(r"[^\w' ]", " ", text.lower().replace("’", "'")).split())


def edit_distance(reference: Sequence[Any], hypothesis: Sequence[Any]) -> int:
    """The Levenshtein distance: the number of substitutions, insertions and deletions."""
    row = list(range(len(hypothesis) + 1))
    for i, expected in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, actual in enumerate(hypothesis, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (expected != actual))
    return row[-1]


def outputs_of(model: Any, examples: Sequence[Example]) -> list[str]:
    return [predict(model, example.inputs) for example in examples]


def score(model: Any, examples: Sequence[Example], outputs: Sequence[str]) -> dict[str, float]:
    return error_rates([str(example.expected) for example in examples], outputs)


def error_rates(references: Sequence[str], outputs: Sequence[str]) -> dict[str, float]:
    """Word error rate, character error rate, and the fraction of texts without errors, over all texts together."""
    counts = np.array([errors(*pair) for pair in zip(references, outputs, strict=True)]).reshape(-1, 5).sum(0)
    words, word_errors, characters, character_errors, exact = counts
    return {
        "WER": float(word_errors / max(words, 1)),
        "CER": float(character_errors / max(characters, 1)),
        "exact": float(exact / max(len(outputs), 1)),
    }


@lru_cache(maxsize=100_000)  # a bootstrap scores the same texts again and again
def errors(reference: str, output: str) -> tuple[int, int, int, int, bool]:
    """Words and wrong ones, characters and wrong ones, and whether all is right."""
    expected, actual = normalize(reference), normalize(output)
    return (
        len(expected.split()),
        edit_distance(expected.split(), actual.split()),
        len(expected),
        edit_distance(expected, actual),
        expected == actual,
    )


def predict(model: Any, inputs: Any) -> str:
    return app.predict(model, app.Request(content(inputs))).output.text


def difference(first: str, second: str) -> float:
    """The edit distance as a fraction of the length of the longer text."""
    return edit_distance(first, second) / max(len(first), len(second), 1)


def summarize(text: str) -> str:
    return text


EVALUATION = Evaluation(
    "WER",
    False,
    DATA_FORMAT,
    transcripts.read,
    measure_by(outputs_of, score),
    predict,
    difference,
    summarize,
    outputs_of,
    score,
)
