"""feature-extraction and sentence-similarity: texts as vectors, and how alike they are.

Models of whole sentences and static word vectors answer both. Word vectors count a text's known words alone; a text
without any is the zero vector, which is like nothing. They also have neighbours and analogies, asked for by
`{"inputs": {"positive": ["king", "woman"], "negative": ["man"]}, "top_k": 5}`. An unknown word there is an error.
"""

from __future__ import annotations

from hearth.models import preload

preload.start("tokenizers")  # before the imports that take long

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from hearth.models.cache import warm
from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.manifest import Pooling, TextPreprocessing
from hearth.models.model import Model
from hearth.ops.text.nearest_words import nearest
from hearth.ops.text.pooling import Array, Mask, cosine, normalise, pool
from hearth.ops.text.windows import pad, room, texts_of, whole
from hearth.tasks.task import Task
from hearth.telemetry.timing import current, step

DIGITS = 8
"""Decimals of a vector's numbers: what float32 can tell apart, at half the length of all of them."""

Count = Annotated[int, Meta(ge=1, le=1000)]
WordList = Annotated[list[Annotated[str, Meta(max_length=200)]], Meta(max_length=100)]


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    normalize: bool | None = None
    """To length one; unset: as the model was made for."""
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    """Only the first so many of each vector."""
    truncate: bool = True
    """Whether a text that is too long is cut, or refused."""
    truncation_direction: Literal["left", "right"] = "right"
    """The side that a cut takes away."""
    top_k: Count = 10
    """Neighbours of words."""


class Words(Struct, frozen=True, forbid_unknown_fields=True):
    positive: WordList
    negative: WordList = []


class Request(Parameters, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters stand beside `inputs`, as Hugging Face's clients send them, or in `parameters`, which then count."""

    inputs: str | list[str] | Words
    parameters: Parameters | None = None


class Neighbour(Struct, frozen=True):
    word: str
    score: float
    """Cosine."""


Response = list[list[float] | Neighbour]
"""A vector for each text; or of words the neighbours, nearest first."""


class Sentences(Struct, frozen=True, forbid_unknown_fields=True):
    source_sentence: str
    sentences: list[str]


class Comparison(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: Sentences
    parameters: Parameters = Parameters()


Likeness = list[float]
"""The cosine of each sentence's vector with the source sentence's."""


def encode(model: Model, texts: str | list[str], wanted: Parameters) -> dict[str, np.ndarray[Any, Any]]:
    """Token ids and mask, (batch, longest text) int64. Raises BadRequest, PayloadTooLarge."""
    how, tokenizer, head = parts(model)
    texts = texts_of(texts, model.manifest.limits)
    rows = tokenizer.encode_batch_fast(texts)
    if not wanted.truncate and any(row.overflowing for row in rows):
        raise PayloadTooLarge(f"A text has more than {how.max_tokens} tokens; shorten it or let it be cut (`truncate`)")
    if wanted.truncation_direction == "left":
        rows = [
            ending(tokenizer, text, how.max_tokens) if row.overflowing else row
            for text, row in zip(texts, rows, strict=True)
        ]
    feeds = pad(rows, how.pad_id, [tensor.name for tensor in model.manifest.graphs["main"].inputs])
    if head.words:
        feeds["attention_mask"] *= feeds["input_ids"] != how.pad_id  # which stands for unknown words too
    return feeds


def ending(tokenizer: Any, text: str, longest: int) -> Any:
    """The last tokens of a text, with the special ones around them."""
    row = whole(tokenizer, text)
    row.truncate(room(tokenizer, longest), direction="left")
    return tokenizer.post_process(row)


def decode(model: Model, wanted: Parameters, mask: Mask, outputs: list[np.ndarray[Any, Any]]) -> Array:
    """A vector a text, (batch, dimensions). Raises BadRequest."""
    _, _, head = parts(model)
    size = wanted.dimensions or head.dimensions
    if size > head.dimensions:
        raise BadRequest(f"`dimensions` is {size}; the vectors of {model.manifest.model} have {head.dimensions}")
    vectors = pool(outputs[0], mask, head.method)[:, :size]
    unit = head.normalise if wanted.normalize is None else wanted.normalize
    return normalise(vectors) if unit else vectors


def embed(model: Model, texts: str | list[str], wanted: Parameters) -> Array:
    """(texts, dimensions)"""
    with step("encode"):
        feeds = encode(model, texts, wanted)
    current().count("input_tokens", int(feeds["attention_mask"].sum()))
    with step("run"):
        outputs = model.run(feeds)
    with step("decode"):
        return decode(model, wanted, feeds["attention_mask"], outputs)


def answer(model: Model, request: Request) -> Response:
    wanted = request.parameters or request
    if isinstance(request.inputs, Words):
        return [*neighbours(model, request.inputs, wanted.top_k)]
    numbers: Response = np.round(embed(model, request.inputs, wanted).astype(np.float64), DIGITS).tolist()
    return numbers


def compare(model: Model, request: Comparison) -> Likeness:
    if not request.inputs.sentences:
        raise BadRequest("`inputs.sentences` is empty; send at least one sentence to compare with")
    vectors = embed(model, [request.inputs.source_sentence, *request.inputs.sentences], request.parameters)
    likeness: Likeness = cosine(vectors[0], vectors[1:]).tolist()
    return likeness


def neighbours(model: Model, words: Words, count: int) -> list[Neighbour]:
    """Raises BadRequest: an unknown word, no word, or a model of sentences."""
    how, tokenizer, head = parts(model)
    if not head.words:
        raise BadRequest(f"{model.manifest.model} makes vectors of texts and has no neighbours; send texts as `inputs`")
    if not words.positive and not words.negative:
        raise BadRequest("`inputs.positive` is empty; send at least one word")
    positive, negative = (
        [identify(tokenizer, word, how.pad_id, f"inputs.{side}[{place}]") for place, word in enumerate(listed)]
        for side, listed in (("positive", words.positive), ("negative", words.negative))
    )

    def vectors(numbers: np.ndarray[Any, Any]) -> Array:
        ids = numbers[None]
        return normalise(model.run({"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0])

    found = nearest(vectors, tokenizer.get_vocab_size(), positive, negative, how.pad_id, count)
    return [Neighbour(str(tokenizer.id_to_token(number)), score) for number, score in found]


def identify(tokenizer: Any, word: str, unknown: int, field: str) -> int:
    """A word's number. Raises BadRequest, which names the `field` that it stood in."""
    number = find(tokenizer, word, unknown)
    if number is None:
        raise BadRequest(f"The model has no vector of `{field}`, which must be one word that it knows")
    return number


def find(tokenizer: Any, word: str, unknown: int) -> int | None:
    """The number of a word as it is written, or as the vocabulary writes it (in small letters, say)."""
    written = tokenizer.normalizer.normalize_str(word) if tokenizer.normalizer else word
    numbers = (tokenizer.token_to_id(form) for form in (word, written))
    return next((number for number in numbers if number not in (None, unknown)), None)


def parts(model: Model) -> tuple[TextPreprocessing, Any, Pooling]:
    """What the manifest's schema promises of the task."""
    how, head = model.manifest.preprocessing, model.manifest.head
    assert isinstance(how, TextPreprocessing)  # noqa: S101
    assert isinstance(head, Pooling)  # noqa: S101
    assert model.tokenizer is not None  # noqa: S101
    return how, model.tokenizer, head


def predict(name: str, request: Request) -> Response:
    with warm().get(name) as model:
        return answer(model, request)


def predict_likeness(name: str, request: Comparison) -> Likeness:
    with warm().get(name) as model:
        return compare(model, request)


TASKS = (
    Task(
        "feature-extraction",
        Request,
        Response,
        predict,
        {"inputs": ["A man is playing the guitar.", "Two dogs run through the snow."]},
        serves=("sentence-similarity",),
    ),
    Task(
        "sentence-similarity",
        Comparison,
        Likeness,
        predict_likeness,
        {
            "inputs": {
                "source_sentence": "A man is playing the guitar.",
                "sentences": ["Somebody plays an instrument.", "The bank raised its interest rates."],
            }
        },
        serves=("feature-extraction",),
    ),
)
handler = create_handler(TASKS)
