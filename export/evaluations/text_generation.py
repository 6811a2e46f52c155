"""text-generation: how well a model predicts a text, in nats per character."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from hearth.tasks.chat_template import render_prompt
from hearth.tasks.generation import log_likelihoods
from hearth_build.data import corpus
from hearth_build.data.datasets import DataError
from hearth_build.pipeline.evaluation import Evaluation, measure_by
from hearth_build.recipe import Example
from hearth_functions.text_generation import app

MAX_NEW_TOKENS = 48
"""Length of a golden output."""
Piece = tuple[list[int], int, int]
"""Tokens, the number of the first one that counts, and the number of characters that count."""
Likelihood = tuple[float, int, int]
"""Nats, tokens and characters."""


def outputs(model: Any, examples: Sequence[Example]) -> list[Likelihood]:
    """The negative log-likelihood of each text, and of what the assistant says in each conversation.

    Each token is predicted from at least half a context of the tokens before it, if there are as many.
    """
    results = []
    for example in examples:
        nats, tokens, characters = 0.0, 0, 0
        for ids, first, length in pieces(model, example):
            for window, counted in windows(ids, model.head.context, first):
                nats -= float(log_likelihoods(model, window)[-counted:].sum())
                tokens += counted
            characters += length
        results.append((nats, tokens, characters))
    return results


def score(model: Any, examples: Sequence[Example], results: Sequence[Likelihood]) -> dict[str, float]:
    nats, tokens, characters = (sum(column) for column in zip(*results, strict=True))
    if not tokens:
        raise DataError("The text has fewer than two tokens, so there is nothing to predict.")
    nats_per_token = nats / tokens
    return {
        "nats a character": nats / characters,
        "nats a token": nats_per_token,
        "perplexity": math.exp(min(nats_per_token, 700)),
        "characters a token": characters / tokens,
    }


def pieces(model: Any, example: Example) -> Iterator[Piece]:
    """What is measured of an example: its text, which follows `expected` if there is such a text; or the assistant's
    messages. The first token of a text without one before it does not count, because nothing precedes it."""
    if isinstance(example.inputs, str):
        before = tokens_of(model, example.expected)[-model.head.context // 2 :] if example.expected else []
        ids = tokens_of(model, example.inputs)
        first = len(model.tokenizer.decode(ids[:1])) if not before else 0
        yield [*before, *ids], len(before) or 1, len(example.inputs) - first
        return
    messages = example.inputs["messages"]
    end = next(iter(model.head.eos), None)
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            prompt = tokens_of(model, render_prompt(model, messages[:index]))
            answer = [*tokens_of(model, message["content"]), *([] if end is None else [end])]
            yield [*prompt, *answer], len(prompt), len(message["content"])


def tokens_of(model: Any, text: str) -> list[int]:
    """All tokens of the text, including those that the tokenizer's truncation moves to `overflowing`."""
    encoding = model.tokenizer.encode(text, add_special_tokens=False)
    return [token for piece in (encoding, *encoding.overflowing) for token in piece.ids]


def windows(ids: Sequence[int], context: int, first: int = 1) -> Iterator[tuple[Sequence[int], int]]:
    """Yield windows of `context` tokens, half a window apart, with the number of tokens at the end of each window that
    no earlier window counted. The tokens before `first` do not count."""
    counted = first
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


EVALUATION = Evaluation(
    metric="nats a character",
    higher_is_better=False,
    data_format=corpus.DATA_FORMAT,
    read=corpus.read,
    measure=measure_by(outputs, score),
    predict=predict,
    difference=difference,
    summarize=summarize,
    outputs=outputs,
    score=score,
)
