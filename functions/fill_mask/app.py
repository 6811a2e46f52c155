"""fill-mask: the likeliest tokens in place of a text's mask token."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct

from hearth import deadline
from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.heads import Mask
from hearth.models.model import Model
from hearth.models.preprocessing import TextPreprocessing
from hearth.ops.activations import activate, top_indices
from hearth.ops.text.windows import Feeds, list_texts, pad
from hearth.tasks.schema import Explainable, Explained
from hearth.tasks.task import Prediction, Task, Usage, explainable
from hearth.telemetry.timing import step

MAX_MASKS = 64
"""Largest number of masks of a request: each has a score for every token of the vocabulary."""

MaskedModel = Model[TextPreprocessing, Mask]
Word = Annotated[str, Meta(max_length=200)]


class Parameters(Explainable, frozen=True):
    top_k: Annotated[int, Meta(ge=1, le=1000)] = 5
    targets: Annotated[list[Word], Meta(min_length=1, max_length=1000)] | Word | None = None
    """Choose only among these words; of a word of several tokens, the first one is used."""


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: str | list[str]
    parameters: Parameters = Parameters()


class Guess(Struct, frozen=True):
    score: float
    token: int
    token_str: str
    sequence: str
    """The text with the guess; other masks stay."""


Response = list[Guess | list[Guess | list[Guess]]] | Explained
"""Guesses, best first; one list per mask for a text with several masks, and one list per text for a list of texts."""


def encode(model: MaskedModel, request: Request) -> Feeds:
    """Token ids and mask, (batch, longest text) int64. Raises BadRequest, PayloadTooLarge."""
    mask = model.head.token_id
    token = model.tokenizer.id_to_token(mask)
    rows = model.tokenizer.encode_batch_fast(list_texts(request.inputs, model.manifest.limits))
    for row in rows:
        if any(mask in overflow.ids for overflow in row.overflowing):
            raise BadRequest(
                f"A {token} is beyond the {model.preprocessing.max_tokens} tokens that are read; shorten the text"
            )
        if mask not in row.ids:
            raise BadRequest(f"A text has no {token}; put it where a word is missing")
    if (count := sum(row.ids.count(mask) for row in rows)) > MAX_MASKS:
        raise PayloadTooLarge(f"The texts have {count} masks; {MAX_MASKS} are allowed in one request")
    return pad(rows, model.preprocessing.pad_id, model.input_names["main"])


def decode(model: MaskedModel, request: Request, feeds: Feeds, outputs: list[np.ndarray[Any, Any]]) -> Response:
    """`outputs` has logits (masks, vocabulary), in the order of the texts."""
    mask, targets = model.head.token_id, target_tokens(model, request.parameters)
    remaining = iter(activate(outputs[0], "softmax"))
    results: list[list[Guess | list[Guess]]] = []
    for ids, row_mask in zip(feeds["input_ids"], feeds["attention_mask"], strict=True):
        row = ids[row_mask > 0].tolist()
        deadline.check()
        positions = [position for position, token in enumerate(row) if token == mask]
        is_only_mask = len(positions) == 1
        guesses = [
            guess(model, row, position, next(remaining), request.parameters.top_k, targets, is_only_mask)
            for position in positions
        ]
        results.append([*guesses[0]] if is_only_mask else [*guesses])
    if isinstance(request.inputs, str):
        return [item if isinstance(item, Guess) else [*item] for item in results[0]]
    return [*results]


def guess(
    model: MaskedModel,
    row: list[int],
    position: int,
    scores: np.ndarray[Any, Any],
    count: int,
    targets: list[int] | None,
    is_only_mask: bool,
) -> list[Guess]:
    """The best tokens for one position of a row. Special tokens are shown unless `is_only_mask`, so that other masks
    stay."""
    candidates = np.arange(len(scores)) if targets is None else np.array(targets)
    guesses = []
    for index in top_indices(scores[candidates], count):
        token = int(candidates[index])
        filled = [*row[:position], token, *row[position + 1 :]]
        guesses.append(
            Guess(
                float(scores[token]),
                token,
                model.tokenizer.decode([token], skip_special_tokens=False),
                model.tokenizer.decode(filled, skip_special_tokens=is_only_mask),
            )
        )
    return guesses


def target_tokens(model: MaskedModel, parameters: Parameters) -> list[int] | None:
    """Token ids of `parameters.targets`. Raises BadRequest if the tokenizer knows none of them."""
    if parameters.targets is None:
        return None
    tokens = []
    for word in [parameters.targets] if isinstance(parameters.targets, str) else parameters.targets:
        token = model.tokenizer.token_to_id(word)
        ids = model.tokenizer.encode(word, add_special_tokens=False).ids if token is None else [token]
        tokens += ids[:1]
    if not tokens:
        raise BadRequest("`parameters.targets` has no word that this model's tokenizer knows")
    return list(dict.fromkeys(tokens))


def predict(model: MaskedModel, request: Request) -> Prediction:
    with step("encode"):
        feeds = encode(model, request)
    with step("run"):
        outputs = model.run(feeds)
    with step("decode"):
        response = decode(model, request, feeds, outputs)
    mask = feeds["attention_mask"]
    return Prediction(response, Usage(len(mask), int(np.count_nonzero(mask))))


TASKS = (explainable(Task("fill-mask", Request, Response, predict, {"inputs": "The capital of France is [MASK]."})),)
handler = create_handler(TASKS)
