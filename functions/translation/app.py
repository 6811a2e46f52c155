"""translation: texts from one language into another."""

from __future__ import annotations

from hearth.models import preload

preload.start("tokenizers")  # before the imports that take long

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from hearth.models.cache import warm
from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.manifest import Seq2Seq, TextPreprocessing
from hearth.models.model import Model
from hearth.ops.text.beam_search import Search, Step, search
from hearth.ops.text.windows import pad, texts_of
from hearth.tasks.task import Task
from hearth.telemetry.timing import step

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ROWS = 64
"""Beams of all texts that are written at once: more only takes more memory."""
CUT = "longest_first", "only_first"
"""Truncations that cut a text; without one, a text that is too long is refused: half a translation is none."""


class Generation(Struct, frozen=True, forbid_unknown_fields=True):
    num_beams: Annotated[int, Meta(ge=1, le=16)] | None = None
    length_penalty: Annotated[float, Meta(ge=-10, le=10)] | None = None
    max_new_tokens: Annotated[int, Meta(ge=1)] | None = None
    """At most the model's own."""


class Parameters(Generation, frozen=True, forbid_unknown_fields=True):
    src_lang: str | None = None
    tgt_lang: str | None = None
    truncation: Literal["do_not_truncate", "longest_first", "only_first", "only_second"] | None = None
    clean_up_tokenization_spaces: bool = False
    """A space before a full stop, a comma, a question or exclamation mark goes."""
    generate_parameters: Generation = Generation()
    """The same parameters, where huggingface_hub's client puts them."""


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: str | list[str]
    parameters: Parameters = Parameters()


class Translation(Struct, frozen=True):
    translation_text: str


Response = list[Translation]
"""One a text, in order."""


def encode(model: Model, request: Request) -> dict[str, np.ndarray[Any, Any]]:
    """Token ids and mask, (texts that are not empty, longest) int64. Raises BadRequest, PayloadTooLarge."""
    how, tokenizer = model.manifest.preprocessing, tokenizer_of(model)
    assert isinstance(how, TextPreprocessing)  # noqa: S101 -- what the manifest's schema promises of the task
    texts = texts_of(request.inputs, model.manifest.limits)
    before = prefix(model, request.parameters)
    encodings = tokenizer.encode_batch_fast([led(text, before) for text in texts if text.strip()])
    if request.parameters.truncation not in CUT and any(encoding.overflowing for encoding in encodings):
        raise PayloadTooLarge(
            f"A text has more than the {how.max_tokens} tokens that the model reads; send it sentence by sentence, "
            'or set `parameters.truncation` to "longest_first" to translate its beginning'
        )
    return pad(encodings, how.pad_id)


def write(model: Model, request: Request, feeds: dict[str, np.ndarray[Any, Any]]) -> list[list[int]]:
    """The tokens of each text's translation."""
    how = search_of(model, request.parameters)
    size = max(1, ROWS // how.beams)
    found: list[list[int]] = []
    for start in range(0, len(feeds["input_ids"]), size):
        longest = feeds["attention_mask"][start : start + size].sum(1).max()
        part = {name: values[start : start + size, :longest] for name, values in feeds.items()}
        found += search(stepper(model, part), len(part["input_ids"]), how)
    return found


def search_of(model: Model, wanted: Parameters) -> Search:
    head, nested = head_of(model), wanted.generate_parameters
    penalties = wanted.length_penalty, nested.length_penalty, head.length_penalty
    return Search(
        start=head.start,
        eos=head.eos,
        max_new=min(wanted.max_new_tokens or nested.max_new_tokens or head.max_new, head.max_new),
        beams=wanted.num_beams or nested.num_beams or head.beams,
        length_penalty=next(penalty for penalty in penalties if penalty is not None),
    )


def stepper(model: Model, feeds: dict[str, np.ndarray[Any, Any]]) -> Step:
    """Reads the sources; the function that it returns keeps the caches and writes one more token a call."""
    head = head_of(model)
    inputs = [tensor.name for tensor in model.manifest.graphs["decoder"].inputs]
    cross_names, past_names = inputs[2 : 2 + 2 * head.layers], inputs[2 + 2 * head.layers :]
    mask, cross = feeds["attention_mask"], model.run(feeds)
    past = [np.zeros((len(mask), head.heads, 0, head.head_size), np.float32) for _ in past_names]

    def next_token(
        tokens: np.ndarray[Any, Any], rows: np.ndarray[Any, Any], sentences: np.ndarray[Any, Any]
    ) -> np.ndarray[Any, Any]:
        nonlocal mask, cross, past
        if len(sentences) < len(mask):
            mask, cross = mask[sentences], [values[sentences] for values in cross]
        reordered = [values[rows] for values in past]
        caches = dict(zip([*cross_names, *past_names], [*cross, *reordered], strict=True))
        logits, *past = model.run({"input_ids": tokens[:, None], "attention_mask": mask, **caches}, "decoder")
        return logits

    return next_token


def decode(model: Model, request: Request, outputs: list[list[int]]) -> Response:
    sources = [request.inputs] if isinstance(request.inputs, str) else request.inputs
    texts = iter(tokenizer_of(model).decode_batch(outputs))
    translated = [next(texts) if source.strip() else "" for source in sources]
    if request.parameters.clean_up_tokenization_spaces:
        translated = [tidied(text) for text in translated]
    return [Translation(text) for text in translated]


def answer(model: Model, request: Request) -> Response:
    with step("encode"):
        feeds = encode(model, request)
    with step("run"):
        outputs = write(model, request, feeds)
    with step("decode"):
        return decode(model, request, outputs)


def tokenizer_of(model: Model) -> Tokenizer:
    assert model.tokenizer is not None  # noqa: S101 -- what the manifest's schema promises of the task
    return model.tokenizer


def head_of(model: Model) -> Seq2Seq:
    assert isinstance(model.manifest.head, Seq2Seq)  # noqa: S101 -- the same
    return model.manifest.head


def prefix(model: Model, wanted: Parameters) -> str:
    """What texts begin with: the token of the language that is wanted, where the model has such. Raises BadRequest."""
    head = head_of(model)
    spoken(wanted.src_lang, "src_lang", "from", head.source)
    target = spoken(wanted.tgt_lang, "tgt_lang", "into", head.target)
    token = f">>{target}<<"
    return token if target and tokenizer_of(model).token_to_id(token) is not None else ""


def spoken(wanted: str | None, name: str, way: str, languages: tuple[str, ...]) -> str:
    """The language that is meant: the first one if none is wanted, and `zh` is any zh-Hans. Raises BadRequest."""
    if wanted is None or not languages:
        return wanted or next(iter(languages), "")
    meant = [language for language in languages if language == wanted or language.startswith(f"{wanted}-")]
    if not meant:
        known = ", ".join(languages)
        raise BadRequest(f"This model does not translate {way} that language; `parameters.{name}` can be: {known}")
    return meant[0]


def led(text: str, before: str) -> str:
    """`text` with the token of its language, unless it begins with one by itself."""
    return text if not before or text.lstrip().startswith(">>") else f"{before} {text}"


def tidied(text: str) -> str:
    for mark in ".,?!":
        text = text.replace(f" {mark}", mark)
    return text


def predict(name: str, request: Request) -> Response:
    with warm().get(name) as model:
        return answer(model, request)


TASKS = (Task("translation", Request, Response, predict, {"inputs": "Two children are playing in the park."}),)
handler = create_handler(TASKS)
