"""fill-mask: what may stand where a text has the mask token."""

from __future__ import annotations

from hearth.models import preload
from hearth import deadline

preload.start("tokenizers")  # before the imports that take long

from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct

from hearth.models.cache import warm
from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.manifest import Mask, TextPreprocessing
from hearth.models.model import Model
from hearth.ops.activations import activate, best
from hearth.ops.text.windows import Feeds, pad, texts_of
from hearth.tasks.task import Task
from hearth.telemetry.timing import step

MASKS = 64
"""In one request: each takes a score for every token of the vocabulary."""


Word = Annotated[str, Meta(max_length=200)]


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    top_k: Annotated[int, Meta(ge=1, le=1000)] = 5
    targets: Annotated[list[Word], Meta(min_length=1, max_length=1000)] | Word | None = None
    """Guess among these words alone; one that is several tokens stands for its first."""


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: str | list[str]
    parameters: Parameters = Parameters()


class Guess(Struct, frozen=True):
    score: float
    token: int
    token_str: str
    sequence: str
    """The text with the guess in it; other masks stay."""


Response = list[Guess | list[Guess | list[Guess]]]
"""Guesses, best first; a list of them for each mask of a text with several, and for each text where a list came."""


def encode(model: Model, request: Request) -> Feeds:
    """Token ids and mask, (batch, longest text) int64. Raises BadRequest, PayloadTooLarge."""
    how = model.manifest.preprocessing
    assert isinstance(how, TextPreprocessing)  # noqa: S101 -- what the manifest's schema promises of the task
    assert model.tokenizer is not None  # noqa: S101
    mask = mask_of(model)
    word = model.tokenizer.id_to_token(mask)
    rows = model.tokenizer.encode_batch_fast(texts_of(request.inputs, model.manifest.limits))
    for row in rows:
        if any(mask in rest.ids for rest in row.overflowing):
            raise BadRequest(f"A {word} lies beyond the {how.max_tokens} tokens that are read; shorten the text")
        if mask not in row.ids:
            raise BadRequest(f"A text has no {word}; put it where a word is to be guessed")
    if (count := sum(row.ids.count(mask) for row in rows)) > MASKS:
        raise PayloadTooLarge(f"The texts have {count} masks; {MASKS} are allowed in one request")
    return pad(rows, how.pad_id, [tensor.name for tensor in model.manifest.graphs["main"].inputs])


def decode(model: Model, request: Request, feeds: Feeds, outputs: list[np.ndarray[Any, Any]]) -> Response:
    """`outputs` has logits (masks, vocabulary), text after text."""
    mask, only = mask_of(model), targets(model, request.parameters)
    remaining = iter(activate(outputs[0], "softmax"))
    answers: list[list[Guess | list[Guess]]] = []
    for ids, inside in zip(feeds["input_ids"], feeds["attention_mask"], strict=True):
        row = ids[inside > 0].tolist()
        deadline.check()
        places = [place for place, token in enumerate(row) if token == mask]
        made = [guesses(model, request, row, place, next(remaining), only, len(places) == 1) for place in places]
        answers.append([*made[0]] if len(made) == 1 else [*made])
    if isinstance(request.inputs, str):
        return [one if isinstance(one, Guess) else [*one] for one in answers[0]]
    return [*answers]


def guesses(
    model: Model,
    request: Request,
    row: list[int],
    place: int,
    scores: np.ndarray[Any, Any],
    only: list[int] | None,
    alone: bool,
) -> list[Guess]:
    """The best tokens for one place of a row. `alone`: no other mask, so special tokens need not be shown."""
    assert model.tokenizer is not None  # noqa: S101
    among = np.arange(len(scores)) if only is None else np.array(only)
    found = []
    for index in best(scores[among], request.parameters.top_k):
        token = int(among[index])
        filled = [*row[:place], token, *row[place + 1 :]]
        found.append(
            Guess(
                float(scores[token]),
                token,
                model.tokenizer.decode([token], skip_special_tokens=False),
                model.tokenizer.decode(filled, skip_special_tokens=alone),
            )
        )
    return found


def targets(model: Model, parameters: Parameters) -> list[int] | None:
    """Token ids of `parameters.targets`. Raises BadRequest when none is a token."""
    if parameters.targets is None:
        return None
    assert model.tokenizer is not None  # noqa: S101
    found = []
    for word in [parameters.targets] if isinstance(parameters.targets, str) else parameters.targets:
        token = model.tokenizer.token_to_id(word)
        ids = model.tokenizer.encode(word, add_special_tokens=False).ids if token is None else [token]
        found += ids[:1]
    if not found:
        raise BadRequest("`parameters.targets` has no word that this model's tokenizer knows")
    return list(dict.fromkeys(found))


def mask_of(model: Model) -> int:
    head = model.manifest.head
    assert isinstance(head, Mask)  # noqa: S101 -- what the recipe promises of the task
    return head.token_id


def answer(model: Model, request: Request) -> Response:
    with step("encode"):
        feeds = encode(model, request)
    with step("run"):
        outputs = model.run(feeds)
    with step("decode"):
        return decode(model, request, feeds, outputs)


def predict(name: str, request: Request) -> Response:
    with warm().get(name) as model:
        return answer(model, request)


TASKS = (Task("fill-mask", Request, Response, predict, {"inputs": "The capital of France is [MASK]."}),)
handler = create_handler(TASKS)
