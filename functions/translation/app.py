"""translation: translates texts from one language into another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest
from hearth.tasks import seq2seq
from hearth.tasks.schema import Explained, ExplainOptions
from hearth.tasks.seq2seq import Array, EncoderDecoder
from hearth.tasks.task import Prediction, Task, explainable

if TYPE_CHECKING:
    from hearth.tasks.explanation.subjects import Subject


class Parameters(seq2seq.Parameters, frozen=True, forbid_unknown_fields=True):
    src_lang: str | None = None
    tgt_lang: str | None = None


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: str | list[str]
    parameters: Parameters = Parameters()


class Translation(Struct, frozen=True):
    translation_text: str


Response = list[Translation] | Explained
"""One translation per text, in order."""


def encode(model: EncoderDecoder, request: Request) -> dict[str, Array]:
    """Token ids and mask, (texts that are not empty, longest) int64. Raises BadRequest, PayloadTooLarge."""
    head, parameters = model.head, request.parameters
    source = find_language(parameters.src_lang, "src_lang", "from", head.source)
    token = language_token(model, parameters)
    texts = [request.inputs] if isinstance(request.inputs, str) else request.inputs
    feeds = seq2seq.encode(model, [with_token(text, token) for text in texts], parameters.truncation, head.prefix)
    if head.language_ids:  # the tokenizer writes its own source language
        own, requested = head.language_ids[head.source[0]], head.language_ids[source]
        feeds["input_ids"][feeds["input_ids"] == own] = requested
    return feeds


def decode(model: EncoderDecoder, request: Request, outputs: list[list[int]]) -> list[Translation]:
    texts = seq2seq.decode(model, request.inputs, request.parameters.clean_up_tokenization_spaces, outputs)
    return [Translation(text) for text in texts]


def language_token(model: EncoderDecoder, parameters: Parameters) -> str:
    """The token of the target language with which texts begin, if the model has one. Raises BadRequest."""
    target = find_language(parameters.tgt_lang, "tgt_lang", "into", model.head.target)
    token = f">>{target}<<"
    return token if target and model.tokenizer.token_to_id(token) is not None else ""


def target_id(model: EncoderDecoder, parameters: Parameters) -> int | None:
    """The token of the target language with which outputs begin, if the model has one. Raises BadRequest."""
    target = find_language(parameters.tgt_lang, "tgt_lang", "into", model.head.target)
    return model.head.language_ids.get(target)


def find_language(requested: str | None, parameter: str, direction: str, languages: tuple[str, ...]) -> str:
    """The first matching language (`zh` matches zh-Hans), or the first one by default. Raises BadRequest."""
    if requested is None or not languages:
        return requested or next(iter(languages), "")
    for language in languages:
        if language == requested or language.startswith((f"{requested}-", f"{requested}_")):
            return language
    raise BadRequest(
        f"This model does not translate {direction} that language; `parameters.{parameter}` can be: "
        f"{', '.join(languages)}"
    )


def with_token(text: str, token: str) -> str:
    """Put the language token before `text`, unless it is empty or begins with one already."""
    return text if not token or not text.strip() or text.lstrip().startswith(">>") else f"{token} {text}"


def answer(model: EncoderDecoder, request: Request) -> tuple[Prediction, list[list[int]]]:
    """The response, and the tokens of each text. Raises BadRequest, PayloadTooLarge."""
    return seq2seq.answer(model, request, encode, decode, target_id(model, request.parameters))


def predict(model: EncoderDecoder, request: Request) -> Prediction:
    return answer(model, request)[0]


def subject(model: EncoderDecoder, request: Request, options: ExplainOptions) -> Subject:
    """What an explanation of the text is of. Raises BadRequest, PayloadTooLarge."""
    from hearth.tasks.explanation.written_text import written_text

    config = seq2seq.generation_config(model, request.parameters, target_id(model, request.parameters))
    return written_text(model, request, options, answer(model, request), encode, config)


TASKS = (
    explainable(
        Task(
            "translation",
            Request,
            Response,
            predict,
            {"inputs": "Two children are playing in the park."},
            subject=subject,
        )
    ),
)
handler = create_handler(TASKS)
