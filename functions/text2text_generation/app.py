"""text2text-generation: writes a text in answer to a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from hearth.aws_lambda.handler import create_handler
from hearth.tasks import seq2seq
from hearth.tasks.schema import Explained, ExplainOptions
from hearth.tasks.seq2seq import Array, EncoderDecoder, Parameters
from hearth.tasks.task import Prediction, Task, explainable

if TYPE_CHECKING:
    from hearth.tasks.explanation.subjects import Subject


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: str | list[str]
    parameters: Parameters = Parameters()


class GeneratedText(Struct, frozen=True):
    generated_text: str


Response = list[GeneratedText] | Explained
"""One text per text, in order."""


def encode(model: EncoderDecoder, request: Request) -> dict[str, Array]:
    """Token ids and mask, (texts that are not empty, longest) int64. Raises BadRequest, PayloadTooLarge."""
    return seq2seq.encode(model, request.inputs, request.parameters.truncation, model.head.prefix)


def decode(model: EncoderDecoder, request: Request, outputs: list[list[int]]) -> list[GeneratedText]:
    texts = seq2seq.decode(model, request.inputs, request.parameters.clean_up_tokenization_spaces, outputs)
    return [GeneratedText(text) for text in texts]


def answer(model: EncoderDecoder, request: Request) -> tuple[Prediction, list[list[int]]]:
    """The response, and the tokens of each text. Raises BadRequest, PayloadTooLarge."""
    return seq2seq.answer(model, request, encode, decode)


def predict(model: EncoderDecoder, request: Request) -> Prediction:
    return answer(model, request)[0]


def subject(model: EncoderDecoder, request: Request, options: ExplainOptions) -> Subject:
    """What an explanation of the text is of. Raises BadRequest, PayloadTooLarge."""
    from hearth.tasks.explanation.written_text import written_text

    config = seq2seq.generation_config(model, request.parameters)
    return written_text(model, request, options, answer(model, request), encode, config)


TASKS = (
    explainable(
        Task(
            "text2text-generation",
            Request,
            Response,
            predict,
            {"inputs": "Translate to German: The house is small."},
            subject=subject,
        )
    ),
)
handler = create_handler(TASKS)
