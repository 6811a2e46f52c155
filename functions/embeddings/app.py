"""feature-extraction and sentence-similarity: texts as vectors, and how similar they are.

Both tasks work with sentence embedding models and with static word vectors. With word vectors only the known words of a
text count; a text without any is the zero vector, which is similar to nothing. Word vectors also have neighbours and
analogies: `{"inputs": {"positive": ["king", "woman"], "negative": ["man"]}, "top_k": 5}`. There an unknown word is an
error.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest, TextTooLong
from hearth.models.heads import Pooling
from hearth.models.model import Model
from hearth.models.preprocessing import TextPreprocessing
from hearth.ops.text.nearest_words import nearest
from hearth.ops.text.pooling import Array, Mask, cosine, normalise, pool
from hearth.ops.text.windows import Row, list_texts, pad, tokenize_whole, window_capacity
from hearth.tasks.schema import Explained, ExplainOptions
from hearth.tasks.task import Prediction, Task, Usage, explainable
from hearth.telemetry.observation import observe_texts, observe_vectors
from hearth.telemetry.timing import step

DECIMALS = 8
"""Number of decimals of a vector's values: enough for float32, at half the length of all digits."""

Embedder = Model[TextPreprocessing, Pooling]
WordList = Annotated[list[Annotated[str, Meta(max_length=200)]], Meta(max_length=100)]


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    normalize: bool | None = None
    """Whether vectors are scaled to length one; default: as in the model's manifest."""
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    """Return only the first so many dimensions of each vector."""
    truncate: bool = True
    """Whether a text that is too long is truncated; otherwise it is refused."""
    truncation_direction: Literal["left", "right"] = "right"
    """The side that is cut off."""
    top_k: Annotated[int, Meta(ge=1, le=1000)] = 10
    """Number of neighbours of words."""
    prompt_name: Annotated[str, Meta(max_length=100)] | None = None
    """The prompt of the model that is put before each text, such as `query`; default: as in the manifest."""


class SimilarityParameters(Parameters, frozen=True, forbid_unknown_fields=True, kw_only=True):
    explain: bool | ExplainOptions = False
    """Whether the response also says which words made the similarity."""


class Words(Struct, frozen=True, forbid_unknown_fields=True):
    positive: WordList
    negative: WordList = []


class Request(Parameters, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters are either beside `inputs`, as Hugging Face's clients send them, or in `parameters`."""

    inputs: str | list[str] | Words
    parameters: Parameters | None = None


class Neighbour(Struct, frozen=True):
    word: str
    score: float
    """Cosine similarity."""


Response = list[list[float] | Neighbour]
"""One vector per text, or the neighbours of words, nearest first."""


class Sentences(Struct, frozen=True, forbid_unknown_fields=True):
    source_sentence: str
    sentences: list[str]


class SimilarityRequest(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: Sentences
    parameters: SimilarityParameters = SimilarityParameters()


SimilarityResponse = list[float] | Explained
"""The cosine similarity of each sentence with the source sentence."""


def encode(model: Embedder, texts: str | list[str], parameters: Parameters) -> dict[str, np.ndarray[Any, Any]]:
    """Token ids and mask, (batch, longest text) int64. Raises BadRequest, PayloadTooLarge, TextTooLong."""
    max_tokens, pad_id = model.preprocessing.max_tokens, model.preprocessing.pad_id
    prompt = find_prompt(model, parameters.prompt_name)
    texts = [prompt + text for text in list_texts(texts, model.manifest.limits)]
    rows = model.tokenizer.encode_batch_fast(texts)
    too_long = next((text for text, row in zip(texts, rows, strict=True) if row.overflowing), None)
    if not parameters.truncate and too_long is not None:
        tokens = len(tokenize_whole(model.tokenizer, too_long).ids) + model.tokenizer.num_special_tokens_to_add(False)
        raise TextTooLong(
            f"A text has {tokens} tokens, more than {max_tokens} tokens; shorten it or set `truncate`", tokens=tokens
        )
    if parameters.truncation_direction == "left":
        rows = [last_tokens(model, text) if row.overflowing else row for text, row in zip(texts, rows, strict=True)]
    feeds = pad(rows, pad_id, model.input_names["main"])
    observe_texts(model, texts, feeds)
    if model.head.words:
        feeds["attention_mask"] *= feeds["input_ids"] != pad_id  # also the id of unknown words
    return feeds


def find_prompt(model: Embedder, name: str | None) -> str:
    """The text that is put before each text; empty without a default. Raises BadRequest for an unknown name."""
    prompts, name = model.head.prompts, name or model.head.default_prompt
    if name is None:
        return ""
    if name not in prompts:
        known = (
            f"can be {', '.join(sorted(prompts))}"
            if prompts
            else f"is given, but {model.manifest.model} has no prompts"
        )
        raise BadRequest(f"`prompt_name` {known}")
    return prompts[name]


def last_tokens(model: Embedder, text: str) -> Row:
    """The last tokens of a text, with special tokens around them."""
    row = tokenize_whole(model.tokenizer, text)
    row.truncate(window_capacity(model.tokenizer, model.preprocessing.max_tokens), direction="left")
    return model.tokenizer.post_process(row)


def decode(model: Embedder, parameters: Parameters, mask: Mask, outputs: list[np.ndarray[Any, Any]]) -> Array:
    """One vector per text, (batch, dimensions). Raises BadRequest."""
    head = model.head
    size = parameters.dimensions or head.dimensions
    if size > head.dimensions:
        raise BadRequest(f"`dimensions` is {size}; the vectors of {model.manifest.model} have {head.dimensions}")
    vectors = pool(outputs[0], mask, head.method)[:, :size]
    normalize = head.normalise if parameters.normalize is None else parameters.normalize
    return normalise(vectors) if normalize else vectors


def embed(model: Embedder, texts: str | list[str], parameters: Parameters) -> tuple[Array, Usage]:
    """Vectors (texts, dimensions), and their usage."""
    with step("encode"):
        feeds = encode(model, texts, parameters)
    with step("run"):
        outputs = model.run(feeds)
    mask = feeds["attention_mask"]
    with step("decode"):
        vectors = decode(model, parameters, mask, outputs)
    observe_vectors(model, vectors)
    return vectors, Usage(len(mask), int(np.count_nonzero(mask)))


def parameters_of(request: Request) -> Parameters:
    """The parameters of a request. Raises BadRequest for some in each place, of which one place would be ignored."""
    if request.parameters is None:
        return request
    defaults = Parameters()
    for name in Parameters.__struct_fields__:
        if getattr(request, name) != getattr(defaults, name):
            raise BadRequest(f"Send `{name}` in `parameters`, as the others", param=name)
    return request.parameters


def predict(model: Embedder, request: Request) -> Prediction:
    parameters = parameters_of(request)
    if isinstance(request.inputs, Words):
        return Prediction(neighbours(model, request.inputs, parameters.top_k), Usage())
    vectors, usage = embed(model, request.inputs, parameters)
    return Prediction(np.round(vectors.astype(np.float64), DECIMALS).tolist(), usage)


def predict_similarity(model: Embedder, request: SimilarityRequest) -> Prediction:
    if not request.inputs.sentences:
        raise BadRequest("`inputs.sentences` is empty; send at least one sentence to compare with")
    texts = [request.inputs.source_sentence, *request.inputs.sentences]
    vectors, usage = embed(model, texts, request.parameters)
    return Prediction(cosine(vectors[0], vectors[1:]).tolist(), usage)


def neighbours(model: Embedder, words: Words, count: int) -> list[Neighbour]:
    """The nearest words. Raises BadRequest for an unknown word, for no words, or for a sentence embedding model."""
    tokenizer, pad_id = model.tokenizer, model.preprocessing.pad_id
    if not model.head.words:
        raise BadRequest(f"{model.manifest.model} embeds texts and has no neighbours; send texts as `inputs`")
    if not words.positive and not words.negative:
        raise BadRequest("`inputs.positive` is empty; send at least one word")
    positive, negative = (
        [word_id(model, word, f"inputs.{field}[{index}]") for index, word in enumerate(values)]
        for field, values in (("positive", words.positive), ("negative", words.negative))
    )

    def vectors(ids: np.ndarray[Any, Any]) -> Array:
        rows = ids[None]
        return normalise(model.run({"input_ids": rows, "attention_mask": np.ones_like(rows)})[0][0])

    results = nearest(vectors, tokenizer.get_vocab_size(), positive, negative, pad_id, count)
    return [Neighbour(str(tokenizer.id_to_token(token)), score) for token, score in results]


def word_id(model: Embedder, word: str, field: str) -> int:
    """The id of a word. Raises BadRequest for an unknown word, which names its `field`."""
    token = find_word(model, word)
    if token is None:
        raise BadRequest(f"The model has no vector for `{field}`; it must be one word that the model knows")
    return token


def find_word(model: Embedder, word: str) -> int | None:
    """The id of a word, as it is or normalised (in lower case, for example); None: it is unknown."""
    tokenizer, unknown = model.tokenizer, model.preprocessing.pad_id
    normalized = tokenizer.normalizer.normalize_str(word) if tokenizer.normalizer else word
    for form in (word, normalized):
        token = tokenizer.token_to_id(form)
        if token not in (None, unknown):
            return int(token)
    return None


TASKS = (
    Task(
        "feature-extraction",
        Request,
        Response,
        predict,
        {"inputs": ["A man is playing the guitar.", "Two dogs run through the snow."]},
    ),
    explainable(
        Task(
            "sentence-similarity",
            SimilarityRequest,
            SimilarityResponse,
            predict_similarity,
            {
                "inputs": {
                    "source_sentence": "A man is playing the guitar.",
                    "sentences": ["Somebody plays an instrument.", "The bank raised its interest rates."],
                }
            },
        )
    ),
)
handler = create_handler(TASKS)
