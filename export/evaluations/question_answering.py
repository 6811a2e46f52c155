"""question-answering: exact match and F1 of words, as SQuAD's own script counts them (Rajpurkar et al. 2016)."""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hearth_build.data.datasets import DataError
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.question_answering import app

FORM = (
    'a JSON file as of SQuAD, {"data": [{"paragraphs": [{"context", "qas": [{"question", "answers": [{"text"}]}]}]}]}'
)


def read(path: Path) -> list[Example]:
    try:
        articles = json.loads(path.read_text(encoding="utf-8"))["data"]
        return [
            Example(
                {"question": asked["question"], "context": paragraph["context"]},
                [] if asked.get("is_impossible") else [answer["text"] for answer in asked["answers"]],
            )
            for article in articles
            for paragraph in article["paragraphs"]
            for asked in paragraph["qas"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read ({error!r}); it must be {FORM}.") from None


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    """Parts of one; empty answers are allowed where some question has none."""
    parameters = app.Parameters(handle_impossible_answer=any(not example.expected for example in examples))
    exact = words = 0.0
    for example in examples:
        found = app.predict(model, app.Request(app.Pair(**example.inputs), parameters)).output
        wanted = example.expected or [""]
        exact += max(plain(found.answer) == plain(text) for text in wanted)
        words += max(overlap(plain(found.answer), plain(text)) for text in wanted)
    return {"F1": words / len(examples), "exact match": exact / len(examples)}


def plain(text: str) -> list[str]:
    """Lower-case words without articles and punctuation."""
    letters = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", letters).split()


def overlap(given: list[str], wanted: list[str]) -> float:
    if not given or not wanted:
        return float(given == wanted)
    both = sum((Counter(given) & Counter(wanted)).values())
    return 2 * both / (len(given) + len(wanted))


def answer(model: Any, inputs: dict[str, str]) -> dict[str, Any]:
    found = app.predict(model, app.Request(app.Pair(**inputs))).output
    return {"answer": found.answer, "start": found.start, "score": found.score}


def difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Of the scores; of two different answers, at least the surer one's lead over what the other leaves it."""
    first, second = one["score"], other["score"]
    if (one["answer"], one["start"]) == (other["answer"], other["start"]):
        return float(abs(first - second))
    return float(max(first - min(second, 1 - second), second - min(first, 1 - first), 0.0))


def brief(found: dict[str, Any]) -> str:
    return str(found["answer"])


EVALUATION = Evaluation("F1", True, FORM, read, measure, answer, difference, brief)
