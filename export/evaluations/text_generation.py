"""text-generation: how well a model foretells a text, in nats a character."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hearth.tasks.generation import log_likelihoods
from hearth_build.data.datasets import DataError
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.text_generation import app

FORM = "a text file in UTF-8"
NEW = 48
"""Tokens of a golden answer."""


def read(path: Path) -> list[Example]:
    try:
        text = path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise DataError(f"{path} cannot be read ({error}); it must be {FORM}.") from None
    return [Example(text, None)] if text else []


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    """Each token after at least half a context of those before it, except near the beginning of a text.

    A text's very first token, which nothing precedes, is not counted.
    """
    nats = characters = tokens = 0.0
    for example in examples:
        ids = tokens_of(model, example.inputs)
        for window, counted in windows(ids, model.head.context):
            nats -= float(log_likelihoods(model, window)[-counted:].sum())
            tokens += counted
        characters += len(example.inputs) - len(model.tokenizer.decode(ids[:1]))
    if not tokens:
        raise DataError("The text has one token at most; there is nothing to foretell.")
    token = nats / tokens
    return {
        "nats a character": nats / characters,
        "nats a token": token,
        "perplexity": math.exp(min(token, 700)),
        "characters a token": characters / tokens,
    }


def tokens_of(model: Any, text: str) -> list[int]:
    """All of them: the tokenizer cuts, and gives what it cut off apart."""
    encoding = model.tokenizer.encode(text, add_special_tokens=False)
    return [token for part in (encoding, *encoding.overflowing) for token in part.ids]


def windows(ids: Sequence[int], context: int) -> Iterator[tuple[Sequence[int], int]]:
    """Stretches of `context` tokens by half its length, and how many of each one's last tokens were not counted yet."""
    done = 1
    while done < len(ids):
        end = min(len(ids), max(done + context // 2, context))
        yield ids[max(0, end - context) : end], end - done
        done = end


def answer(model: Any, inputs: str) -> dict[str, Any]:
    """What the likeliest tokens say after a prompt, and the logarithms of the probabilities of the prompt's own."""
    ids = tokens_of(model, inputs)
    new = max(1, min(NEW, model.head.context - len(ids) - 1))
    said = app.predict(model, app.Request(inputs, app.Parameters(max_new_tokens=new))).output[0].generated_text
    return {"generated_text": said, "logprobs": [round(value, 5) for value in log_likelihoods(model, ids).tolist()]}


def difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The largest of a logarithm: two texts part at the first near tie, and say nothing from there on."""
    pairs = zip(one["logprobs"], other["logprobs"], strict=True)
    return max((abs(first - second) for first, second in pairs), default=0.0)


EVALUATION = Evaluation(
    "nats a character",
    False,
    FORM,
    read,
    measure,
    answer,
    difference,
    lambda found: found["generated_text"].strip().partition("\n")[0],
)
