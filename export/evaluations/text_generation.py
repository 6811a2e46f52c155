"""text-generation: how well a model predicts a text, in nats per character."""

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

DATA_FORMAT = "a text file in UTF-8"
MAX_NEW_TOKENS = 48
"""Length of a golden output."""


def read(path: Path) -> list[Example]:
    try:
        text = path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise DataError(f"{path} cannot be read ({error}); it must be {DATA_FORMAT}.") from None
    return [Example(text, None)] if text else []


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    """The log-likelihood of each token, given at least half a context of the tokens before it if there are as many.

    The first token of a text is not counted, because nothing precedes it.
    """
    nats = characters = tokens = 0.0
    for example in examples:
        ids = tokens_of(model, example.inputs)
        for window, counted in windows(ids, model.head.context):
            nats -= float(log_likelihoods(model, window)[-counted:].sum())
            tokens += counted
        characters += len(example.inputs) - len(model.tokenizer.decode(ids[:1]))
    if not tokens:
        raise DataError("The text has fewer than two tokens, so there is nothing to predict.")
    nats_per_token = nats / tokens
    return {
        "nats a character": nats / characters,
        "nats a token": nats_per_token,
        "perplexity": math.exp(min(nats_per_token, 700)),
        "characters a token": characters / tokens,
    }


def tokens_of(model: Any, text: str) -> list[int]:
    """All tokens of the text, including those that the tokenizer's truncation moves to `overflowing`."""
    encoding = model.tokenizer.encode(text, add_special_tokens=False)
    return [token for piece in (encoding, *encoding.overflowing) for token in piece.ids]


def windows(ids: Sequence[int], context: int) -> Iterator[tuple[Sequence[int], int]]:
    """Yield windows of `context` tokens, half a window apart, with the number of tokens at the end of each window that
    no earlier window counted."""
    counted = 1
    while counted < len(ids):
        end = min(len(ids), max(counted + context // 2, context))
        yield ids[max(0, end - context) : end], end - counted
        counted = end


def predict(model: Any, inputs: str) -> dict[str, Any]:
    """The most likely continuation of a prompt, and the log-probabilities of the prompt's own tokens."""
    ids = tokens_of(model, inputs)
    max_new_tokens = max(1, min(MAX_NEW_TOKENS, model.head.context - len(ids) - 1))
    request = app.Request(inputs, app.Parameters(max_new_tokens=max_new_tokens))
    text = app.predict(model, request).output[0].generated_text
    return {"generated_text": text, "logprobs": [round(value, 5) for value in log_likelihoods(model, ids).tolist()]}


def difference(first: dict[str, Any], second: dict[str, Any]) -> float:
    """The largest difference of a log-probability. The generated texts are not compared: after the first token that is
    nearly a tie, they have nothing in common."""
    pairs = zip(first["logprobs"], second["logprobs"], strict=True)
    return max((abs(value - other) for value, other in pairs), default=0.0)


def summarize(output: dict[str, Any]) -> str:
    """The first line of the generated text."""
    return str(output["generated_text"].strip().partition("\n")[0])


EVALUATION = Evaluation("nats a character", False, DATA_FORMAT, read, measure, predict, difference, summarize)
