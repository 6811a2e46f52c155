"""automatic-speech-recognition: word and character error rates on recordings with their texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hearth_build.data.datasets import DataError
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.speech_recognition import app

FORM = (
    "a file of lines `recording<TAB>text`, recordings beside it, or a folder of recordings with a text file of the "
    "same name each (one.wav, one.txt), or with digits as FSDD names them (7_speaker_0.wav)"
)
SOUNDS = (".wav", ".flac", ".ogg", ".mp3")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def read(path: Path) -> list[Example]:
    if path.is_file():
        return [from_line(path, number, line) for number, line in enumerate(lines_of(path), 1) if line.strip()]
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SOUNDS)
    return [Example(file.read_bytes(), text_beside(file)) for file in files]


def lines_of(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{path} is no text. The evaluation reads {FORM}.") from None


def from_line(path: Path, number: int, line: str) -> Example:
    name, tab, text = line.partition("\t")
    file = path.parent / name.strip()
    if not tab or not file.is_file():
        raise DataError(f"{path}, line {number}: {name!r} and a tab must name a file. The evaluation reads {FORM}.")
    return Example(file.read_bytes(), text)


def text_beside(file: Path) -> str:
    text = file.with_suffix(".txt")
    if text.is_file():
        return text.read_text(encoding="utf-8")
    digit = re.fullmatch(r"(\d)_.+_\d+", file.stem)
    if not digit:
        raise DataError(f"{file} has no {text.name} beside it. The evaluation reads {FORM}.")
    return DIGITS[int(digit[1])]


def plain(text: str) -> str:
    """Lower case, letters and apostrophes only, one space between words: punctuation is not heard."""
    return " ".join(re.sub(r"[^\w' ]", " ", text.lower().replace("’", "'")).split())


def edits(wanted: Sequence[Any], given: Sequence[Any]) -> int:
    """Levenshtein's distance: substitutions, insertions and deletions."""
    row = list(range(len(given) + 1))
    for number, one in enumerate(wanted, 1):
        before, row[0] = row[0], number
        for place, other in enumerate(given, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (one != other))
    return row[-1]


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    """Errors of all texts together over their words (WER) and characters (CER), and the part of texts without any."""
    pairs = [(plain(example.expected), plain(answer(model, example.inputs))) for example in examples]
    word_errors = sum(edits(wanted.split(), given.split()) for wanted, given in pairs)
    letter_errors = sum(edits(wanted, given) for wanted, given in pairs)
    return {
        "WER": word_errors / max(sum(len(wanted.split()) for wanted, _ in pairs), 1),
        "CER": letter_errors / max(sum(len(wanted) for wanted, _ in pairs), 1),
        "exact": sum(wanted == given for wanted, given in pairs) / max(len(pairs), 1),
    }


def answer(model: Any, inputs: bytes) -> str:
    return app.predict(model, app.Request(inputs)).output.text


def difference(one: str, other: str) -> float:
    """Edited characters, as a part of the longer text's."""
    return edits(one, other) / max(len(one), len(other), 1)


def brief(text: str) -> str:
    return text


EVALUATION = Evaluation("WER", False, FORM, read, measure, answer, difference, brief)
