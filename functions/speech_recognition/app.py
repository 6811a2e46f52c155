"""automatic-speech-recognition: the words of a recording, and their times."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType

from hearth.aws_lambda.handler import create_handler
from hearth.models.manifest import AudioPreprocessing, Ctc
from hearth.models.model import Model
from hearth.ops.audio import ngram_lm
from hearth.ops.audio.chunking import chunk_bounds, join
from hearth.ops.audio.ctc import beam_search, greedy, to_words
from hearth.ops.audio.log_mel import log_mel
from hearth.tasks.audio_file import read_audio
from hearth.tasks.task import Prediction, Task, Usage
from hearth.telemetry.timing import step

MAX_SECONDS = 600
"""Largest duration of a recording in seconds, unless the manifest has a limit."""
OVERLAP = 0.2
"""Share of a chunk that overlaps with the next chunk, so that the model has context at the edges."""
MAX_BEAMS = 64

SpeechModel = Model[AudioPreprocessing, Ctc]
Samples = np.ndarray[Any, Any]


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    return_timestamps: bool | Literal["word"] = False
    num_beams: Annotated[int, Meta(ge=1, le=MAX_BEAMS)] | None = None


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: bytes
    """An encoded recording; base64 in JSON."""
    parameters: Parameters = Parameters()


class Chunk(Struct, frozen=True):
    text: str
    """A word."""
    timestamp: tuple[float, float]
    """Start and end in seconds."""
    logprob: float
    """Log-probability of the likeliest symbol, averaged over the word's frames."""


class Response(Struct, frozen=True, omit_defaults=True):
    text: str
    chunks: list[Chunk] | UnsetType = UNSET


def encode(model: SpeechModel, samples: Samples) -> list[tuple[int, dict[str, np.ndarray[Any, Any]]]]:
    """For each chunk its first output frame, and its features, (1, frames, mels) float32."""
    preprocessing, head = model.preprocessing, model.head
    samples = np.pad(samples, int(head.margin_seconds * preprocessing.rate))
    frame_samples = preprocessing.hop * head.stride  # samples per output frame
    size = int(head.chunk_seconds * preprocessing.rate) // frame_samples
    name = model.input_names["main"][0]
    bounds = chunk_bounds(-(-len(samples) // frame_samples), size, int(size * OVERLAP))
    return [
        (first, {name: log_mel(samples[first * frame_samples : end * frame_samples], preprocessing)[None]})
        for first, end in bounds
    ]


def decode(model: SpeechModel, request: Request, starts: list[int], outputs: list[np.ndarray[Any, Any]]) -> Response:
    """`outputs`: log-probabilities (frames, symbols) of chunks that begin at the frames `starts`."""
    preprocessing, head, labels = model.preprocessing, model.head, model.manifest.labels
    logprobs = join(outputs, starts, head.blank)
    beams = request.parameters.num_beams or head.beams
    if head.language_model is not None:
        data = model.resources[head.language_model]
        language_model = ngram_lm.read(data, labels, head.language_weight, head.letter_bonus)
        symbols = beam_search(logprobs, head.blank, beams, language_model)
    else:
        symbols = beam_search(logprobs, head.blank, beams) if beams > 1 else greedy(logprobs, head.blank)
    words = to_words(symbols, labels)
    text = " ".join(word.text for word in words)
    if not request.parameters.return_timestamps:
        return Response(text)

    def seconds(frame: int) -> float:
        time = frame * preprocessing.hop * head.stride / preprocessing.rate
        return round(max(time - head.margin_seconds, 0.0), 3)

    best_logprobs = logprobs.max(1)  # (frames,)
    chunks = [
        Chunk(
            word.text,
            (seconds(word.first), seconds(word.end)),
            round(float(best_logprobs[word.first : word.end].mean()), 4),
        )
        for word in words
    ]
    return Response(text, chunks)


def predict(model: SpeechModel, request: Request) -> Prediction:
    """Raises BadRequest, PayloadTooLarge, UnsupportedMedia."""
    rate = model.preprocessing.rate
    with step("encode"):
        samples = read_audio(request.inputs, rate, model.manifest.limits.seconds or MAX_SECONDS)
        chunks = encode(model, samples)
    with step("run"):
        outputs = [model.run(feeds)[0][0] for _, feeds in chunks]
    with step("decode"):
        response = decode(model, request, [first for first, _ in chunks], outputs)
    return Prediction(response, Usage(seconds=round(len(samples) / rate, 3)))


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
    ),
)
handler = create_handler(TASKS)
