"""summarization: summarizes texts."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from hearth.aws_lambda.handler import create_handler
from hearth.tasks import seq2seq
from hearth.tasks.seq2seq import Array, EncoderDecoder, Parameters
from hearth.tasks.task import Prediction, Task, Usage
from hearth.telemetry.timing import step


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: str | list[str]
    parameters: Parameters = Parameters()


class Summary(Struct, frozen=True):
    summary_text: str


Response = list[Summary]
"""One summary per text, in order."""


def encode(model: EncoderDecoder, request: Request) -> dict[str, Array]:
    """Token ids and mask, (texts that are not empty, longest) int64. Raises BadRequest, PayloadTooLarge."""
    return seq2seq.encode(model, request.inputs, request.parameters.truncation, model.head.prefix)


def decode(model: EncoderDecoder, request: Request, outputs: list[list[int]]) -> Response:
    texts = seq2seq.decode(model, request.inputs, request.parameters.clean_up_tokenization_spaces, outputs)
    return [Summary(text) for text in texts]


def predict(model: EncoderDecoder, request: Request) -> Prediction:
    with step("encode"):
        feeds = encode(model, request)
    with step("run"):
        outputs = seq2seq.generate(model, request.parameters, feeds)
    with step("decode"):
        response = decode(model, request, outputs)
    input_tokens = int(np.count_nonzero(feeds["attention_mask"]))
    return Prediction(response, Usage(len(response), input_tokens, sum(map(len, outputs))))


TASKS = (
    Task(
        "summarization",
        Request,
        Response,
        predict,
        {"inputs": "The mill stands by the river since 1873. Anna Berg bought it and made it a hotel of ten rooms."},
    ),
)
handler = create_handler(TASKS)
