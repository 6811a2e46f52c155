"""automatic-speech-recognition: the words of a recording, and their times."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType

from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest
from hearth.models.heads import Ctc, Whisper
from hearth.models.model import Model
from hearth.models.preprocessing import MAX_SECONDS, AudioPreprocessing
from hearth.ops.audio import ngram_lm
from hearth.ops.audio.chunking import chunk_bounds, join
from hearth.ops.audio.ctc import beam_search, greedy, to_words
from hearth.ops.audio.log_mel import log_mel, standardise
from hearth.ops.text.sampling import log_probabilities
from hearth.tasks.audio_file import read_audio
from hearth.tasks.task import Prediction, Task, Usage
from hearth.tasks.whisper import Options, transcribe
from hearth.telemetry.timing import step

OVERLAP = 0.2
"""Share of a chunk that overlaps with the next chunk, so that the model has context at the edges."""
MAX_BEAMS = 64

CtcModel = Model[AudioPreprocessing, Ctc]
Samples = np.ndarray[Any, Any]


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    return_timestamps: bool | Literal["word"] = False
    """The times of words, or of sentences where the model is a Whisper, which has no times of words."""
    num_beams: Annotated[int, Meta(ge=1, le=MAX_BEAMS)] | None = None
    """Only for models that recognise letters."""
    language: Annotated[str, Meta(max_length=30)] | None = None
    """Code or English name of the spoken language; by default a Whisper of many languages recognises it."""
    task: Literal["transcribe", "translate"] = "transcribe"
    """`translate`: a Whisper of many languages answers in English."""
    prompt: Annotated[str, Meta(max_length=10_000)] = ""
    """A text that precedes the recording, such as names in their spelling; only for Whisper."""


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: bytes
    """An encoded recording; base64 in JSON."""
    parameters: Parameters = Parameters()


class Chunk(Struct, frozen=True):
    text: str
    """A word, or a sentence of Whisper."""
    timestamp: tuple[float, float]
    """Start and end in seconds."""
    logprob: float
    """Log-probability of the likeliest symbol, averaged over the word's frames or the window's tokens."""


class Response(Struct, frozen=True, omit_defaults=True):
    text: str
    chunks: list[Chunk] | UnsetType = UNSET
    language: str = ""
    """Code of the spoken language, if the model recognises languages."""


def encode(model: CtcModel, samples: Samples) -> list[tuple[int, dict[str, np.ndarray[Any, Any]]]]:
    """For each chunk its first output frame, and its features: (1, frames, mels), or (1, samples), float32."""
    preprocessing, head = model.preprocessing, model.head
    samples = np.pad(samples, int(head.margin_seconds * preprocessing.rate))
    is_waveform = preprocessing.features == "waveform"
    if is_waveform:
        if preprocessing.normalise == "utterance":
            samples = standardise(samples)
        samples = np.pad(samples, (0, max(preprocessing.window - len(samples), 0)))
    frame_samples = preprocessing.hop * head.stride  # samples per output frame
    size = int(head.chunk_seconds * preprocessing.rate) // frame_samples
    name = model.input_names["main"][0]
    bounds = chunk_bounds(-(-len(samples) // frame_samples), size, int(size * OVERLAP))
    chunks = []
    for first, end in bounds:
        sound = samples[first * frame_samples : end * frame_samples]
        chunks.append((first, {name: (sound if is_waveform else log_mel(sound, preprocessing))[None]}))
    return chunks


def decode(model: CtcModel, request: Request, starts: list[int], outputs: list[np.ndarray[Any, Any]]) -> Response:
    """`outputs`: log-probabilities (frames, symbols) of chunks that begin at the frames `starts`."""
    preprocessing, head, labels = model.preprocessing, model.head, model.manifest.labels
    logprobs = join(list(map(log_probabilities, outputs)), starts, head.blank)
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


def recognise_letters(model: CtcModel, request: Request, samples: Samples) -> Response:
    """Raises BadRequest."""
    parameters, language = request.parameters, model.head.language
    if parameters.language not in (None, language):
        reason = f"supports only {language!r}" if language else "does not know its language; leave `language` out"
        raise BadRequest(f"This model {reason}", param="language")
    if parameters.task == "translate":
        raise BadRequest("This model does not translate", param="task")
    if parameters.prompt:
        raise BadRequest("This model does not take a `prompt`; leave it out", param="prompt")
    with step("encode"):
        chunks = encode(model, samples)
    with step("run"):
        outputs = [model.run(feeds)[0][0] for _, feeds in chunks]
    with step("decode"):
        return decode(model, request, [first for first, _ in chunks], outputs)


def recognise_words(
    model: Model[AudioPreprocessing, Whisper], request: Request, samples: Samples
) -> tuple[Response, int]:
    """The response, and the number of generated tokens. Raises BadRequest."""
    parameters = request.parameters
    if parameters.return_timestamps == "word":
        raise BadRequest("This model has no times of words; set `return_timestamps` to true for those of sentences")
    if parameters.num_beams not in (None, 1):
        raise BadRequest("This model decodes greedily; leave `num_beams` out", param="num_beams")
    timestamps = bool(parameters.return_timestamps)
    options = Options(parameters.language, parameters.task, timestamps, parameters.prompt)
    with step("run"):
        transcript = transcribe(model, samples, options)
    chunks = [Chunk(part.text, (part.start, part.end), part.logprob) for part in transcript.segments]
    return Response(transcript.text, chunks if timestamps else UNSET, transcript.language), transcript.tokens


def predict(model: Model[AudioPreprocessing, Any], request: Request) -> Prediction:
    """Raises BadRequest, PayloadTooLarge, UnsupportedMedia."""
    rate, tokens = model.preprocessing.rate, 0
    with step("read"):
        samples = read_audio(request.inputs, rate, model.manifest.limits.seconds or MAX_SECONDS)
    if isinstance(model.head, Whisper):
        response, tokens = recognise_words(model, request, samples)
    else:
        response = recognise_letters(model, request, samples)
    return Prediction(response, Usage(seconds=round(len(samples) / rate, 3), output_tokens=tokens))


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
