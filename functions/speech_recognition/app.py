"""automatic-speech-recognition: the words of a recording, and when they were said."""

from __future__ import annotations

from hearth.models import preload

preload.start()  # before the imports that take long

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType

from hearth.models.cache import warm
from hearth.aws_lambda.handler import create_handler
from hearth.models.manifest import AudioPreprocessing, Ctc
from hearth.models.model import Model
from hearth.ops.audio import ngram_lm
from hearth.ops.audio.chunking import join, spans
from hearth.ops.audio.ctc import beam_search, greedy, words
from hearth.ops.audio.log_mel import log_mel
from hearth.tasks.audio_file import open_sound
from hearth.tasks.task import Task
from hearth.telemetry.timing import current, step

MAX_SECONDS = 600
"""Of one recording, where the manifest says nothing."""
OVERLAP = 0.2
"""Of a piece of long sound, shared with the next: what stands at an edge is heard with what surrounds it."""
MAX_BEAMS = 64


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    return_timestamps: bool | Literal["word"] = False
    num_beams: Annotated[int, Meta(ge=1, le=MAX_BEAMS)] | None = None


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: bytes
    """An encoded sound; base64 in JSON."""
    parameters: Parameters = Parameters()


class Chunk(Struct, frozen=True):
    text: str
    """A word."""
    timestamp: tuple[float, float]
    """Begin and end in seconds."""
    logprob: float
    """Of the likeliest symbol, in the mean over the word's frames."""


class Response(Struct, frozen=True, omit_defaults=True):
    text: str
    chunks: list[Chunk] | UnsetType = UNSET


def encode(model: Model, request: Request) -> list[tuple[int, dict[str, np.ndarray[Any, Any]]]]:
    """Each piece's first frame of outputs and its features, (1, frames, mels) float32. Raises BadRequest,
    PayloadTooLarge, UnsupportedMedia."""
    how, head = settings(model)
    sound = open_sound(request.inputs, how.rate, model.manifest.limits.seconds or MAX_SECONDS)
    current().facts["seconds"] = round(len(sound) / how.rate, 3)
    sound = np.pad(sound, int(head.margin_seconds * how.rate))
    unit = how.hop * head.stride  # samples of a frame of the output
    size = int(head.chunk_seconds * how.rate) // unit
    name = model.manifest.graphs["main"].inputs[0].name
    pieces = spans(-(-len(sound) // unit), size, int(size * OVERLAP))
    return [(first, {name: log_mel(sound[first * unit : end * unit], how)[None]}) for first, end in pieces]


def decode(model: Model, request: Request, starts: list[int], outputs: list[np.ndarray[Any, Any]]) -> Response:
    """`outputs`: log-probabilities of each piece, (frames, symbols), which begins at that one of `starts`."""
    how, head = settings(model)
    labels = model.manifest.labels
    logs = join(outputs, starts, head.blank)
    beams = request.parameters.num_beams or head.beams
    if head.language_model is not None:
        data = model.resources[head.language_model]
        language = ngram_lm.read(data, labels, head.language_weight, head.letter_bonus)
        heard = beam_search(logs, head.blank, beams, language)
    else:
        heard = beam_search(logs, head.blank, beams) if beams > 1 else greedy(logs, head.blank)
    found = words(heard, labels)
    text = " ".join(word.text for word in found)
    if not request.parameters.return_timestamps:
        return Response(text)

    def moment(frame: int) -> float:
        return round(max(frame * how.hop * head.stride / how.rate - head.margin_seconds, 0.0), 3)

    sure = logs.max(1)
    return Response(
        text,
        [
            Chunk(
                word.text, (moment(word.first), moment(word.end)), round(float(sure[word.first : word.end].mean()), 4)
            )
            for word in found
        ],
    )


def settings(model: Model) -> tuple[AudioPreprocessing, Ctc]:
    how, head = model.manifest.preprocessing, model.manifest.head
    assert isinstance(how, AudioPreprocessing)  # noqa: S101 -- what the manifest's schema promises of the task
    assert isinstance(head, Ctc)  # noqa: S101
    return how, head


def answer(model: Model, request: Request) -> Response:
    with step("encode"):
        pieces = encode(model, request)
    with step("run"):
        outputs = [model.run(feeds)[0][0] for _, feeds in pieces]
    with step("decode"):
        return decode(model, request, [first for first, _ in pieces], outputs)


def predict(name: str, request: Request) -> Response:
    with warm().get(name) as model:
        return answer(model, request)


# The example is twenty milliseconds of silence as WAV.
TASKS = (
    Task(
        "automatic-speech-recognition",
        Request,
        Response,
        predict,
        {
            "inputs": "UklGRjgAAABXQVZFZm10IBAAAAABAAEA6AMAAOgDAAABAAgAZGF0YRQAAACAgICAgICAgICAgICAgICAgICAgA==",
            "parameters": {"return_timestamps": "word"},
        },
        binary=True,
    ),
)
handler = create_handler(TASKS)
