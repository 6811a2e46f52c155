"""fill-mask: how often the right token is guessed, and how sure the model is of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hearth_build.data.datasets import DataError
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.fill_mask import app

FORM = "a .tsv file of `text with [MASK]<TAB>the masked word`, or a .txt file with a text a line, of which a word each \
is masked"
MASK = "[MASK]"
TOP = 5


def read(path: Path) -> list[Example]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        if path.suffix == ".tsv":
            pairs = [line.split("\t") for line in lines]
            if any(len(pair) != 2 or pair[0].count(MASK) != 1 for pair in pairs):
                raise DataError(f"{path} must be {FORM}.")
            return [Example(text, word) for text, word in pairs]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); it must be {FORM}.") from None
    examples = []
    for number, line in enumerate(lines):
        words = line.split()
        place = number % len(words)
        examples.append(Example(" ".join([*words[:place], MASK, *words[place + 1 :]]), words[place]))
    return examples


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    """Of the words that are one token of the model; `covered` is their part of all."""
    mask = model.tokenizer.id_to_token(model.manifest.head.token_id)
    right = among = counted = 0
    loss = 0.0
    for example in examples:
        tokens = model.tokenizer.encode(example.expected, add_special_tokens=False).ids
        if len(tokens) != 1:
            continue
        text = example.inputs.replace(MASK, mask)
        best = [guess.token for guess in app.predict(model, app.Request(text, app.Parameters(top_k=TOP))).output]
        word = model.tokenizer.id_to_token(tokens[0])
        sure = app.predict(model, app.Request(text, app.Parameters(targets=word))).output[0].score
        counted, right, among = counted + 1, right + (best[0] == tokens[0]), among + (tokens[0] in best)
        loss -= math.log(max(sure, 1e-12))
    if not counted:
        raise DataError(f"No masked word is one token of {model.manifest.model}: there is nothing to measure.")
    return {
        "accuracy": right / counted,
        f"accuracy of the best {TOP}": among / counted,
        "perplexity": math.exp(loss / counted),
        "covered": counted / len(examples),
    }


def answer(model: Any, inputs: str) -> list[dict[str, Any]]:
    """The best guesses of a text with one mask."""
    found = app.predict(model, app.Request(inputs, app.Parameters(top_k=TOP))).output
    return [{"token": guess.token, "word": guess.token_str, "score": guess.score} for guess in found]


def difference(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> float:
    """The largest of a token's score; a token that is not among the other's best has at most the least of them."""
    return max(least(one, other), least(other, one))


def least(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> float:
    scores = {guess["token"]: guess["score"] for guess in other}
    floor = min(scores.values())
    apart = [
        abs(guess["score"] - scores[guess["token"]]) if guess["token"] in scores else max(guess["score"] - floor, 0.0)
        for guess in one
    ]
    return float(max(apart))


def brief(guesses: list[dict[str, Any]]) -> str:
    return str(guesses[0]["word"])


EVALUATION = Evaluation("accuracy", True, FORM, read, measure, answer, difference, brief)
