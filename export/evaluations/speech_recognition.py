"""automatic-speech-recognition: word and character error rates on recordings with transcripts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hearth_build.data.datasets import DataError
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.speech_recognition import app

DATA_FORMAT = (
    "a file with lines `recording<TAB>text` and the recordings beside it, or a folder of recordings, each with a text "
    "file of the same name (one.wav, one.txt) or named like the digits in FSDD (7_speaker_0.wav)"
)
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".webm", ".aiff", ".amr", ".aac")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def read(path: Path) -> list[Example]:
    if path.is_file():
        return [parse_line(path, number, line) for number, line in enumerate(read_lines(path), 1) if line.strip()]
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES)
    return [Example(file.read_bytes(), transcript_of(file)) for file in files]


def read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{path} is not a text file. The evaluation reads {DATA_FORMAT}.") from None


def parse_line(path: Path, number: int, line: str) -> Example:
    name, tab, text = line.partition("\t")
    file = path.parent / name.strip()
    if not tab or not file.is_file():
        raise DataError(
            f"{path}, line {number}: {name!r} must be a file, followed by a tab. The evaluation reads {DATA_FORMAT}."
        )
    return Example(file.read_bytes(), text)


def transcript_of(file: Path) -> str:
    text = file.with_suffix(".txt")
    if text.is_file():
        return text.read_text(encoding="utf-8")
    digit = re.fullmatch(r"(\d)_.+_\d+", file.stem)
    if not digit:
        raise DataError(f"{file} has no {text.name} beside it. The evaluation reads {DATA_FORMAT}.")
    return DIGITS[int(digit[1])]


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


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    """Word error rate, character error rate, and the fraction of texts without errors, over all texts together."""
    pairs = [(normalize(example.expected), normalize(predict(model, example.inputs))) for example in examples]
    word_errors = sum(edit_distance(reference.split(), hypothesis.split()) for reference, hypothesis in pairs)
    character_errors = sum(edit_distance(reference, hypothesis) for reference, hypothesis in pairs)
    return {
        "WER": word_errors / max(sum(len(reference.split()) for reference, _ in pairs), 1),
        "CER": character_errors / max(sum(len(reference) for reference, _ in pairs), 1),
        "exact": sum(reference == hypothesis for reference, hypothesis in pairs) / max(len(pairs), 1),
    }


def predict(model: Any, inputs: bytes) -> str:
    return app.predict(model, app.Request(inputs)).output.text


def difference(first: str, second: str) -> float:
    """The edit distance as a fraction of the length of the longer text."""
    return edit_distance(first, second) / max(len(first), len(second), 1)


def summarize(text: str) -> str:
    return text


EVALUATION = Evaluation("WER", False, DATA_FORMAT, read, measure, predict, difference, summarize)
