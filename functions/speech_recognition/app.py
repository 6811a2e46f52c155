"""automatic-speech-recognition: the words of a recording, and their times."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType

from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest
from hearth.models.heads import Ctc, Whisper
from hearth.models.model import Model
from hearth.models.preprocessing import MAX_SECONDS, AudioPreprocessing
from hearth.ops.audio import ngram_lm
from hearth.ops.audio.chunking import chunk_bounds, join
from hearth.ops.audio.ctc import Logs, SymbolSpan, beam_search, greedy, to_words
from hearth.ops.audio.log_mel import log_mel, standardise
from hearth.ops.text.sampling import log_probabilities
from hearth.tasks.audio_file import read_audio
from hearth.tasks.schema import Explainable, Explained, ExplainOptions
from hearth.tasks.task import Prediction, Task, Usage, explainable
from hearth.tasks.whisper import Options, Transcript, transcribe
from hearth.telemetry.timing import step

if TYPE_CHECKING:
    from hearth.tasks.explanation.subjects import Subject

OVERLAP = 0.2
"""Share of a chunk that overlaps with the next chunk, so that the model has context at the edges."""
MAX_BEAMS = 64

CtcModel = Model[AudioPreprocessing, Ctc]
Samples = np.ndarray[Any, Any]


class Parameters(Explainable, frozen=True):
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


ResponseOrExplained = Response | Explained


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


def find_symbols(model: CtcModel, parameters: Parameters, logprobs: Logs) -> list[SymbolSpan]:
    """The symbols of the transcript. `logprobs`: (frames, symbols)."""
    head = model.head
    beams = parameters.num_beams or head.beams
    if head.language_model is not None:
        data = model.resources[head.language_model]
        language_model = ngram_lm.read(data, model.manifest.labels, head.language_weight, head.letter_bonus)
        return beam_search(logprobs, head.blank, beams, language_model)
    return beam_search(logprobs, head.blank, beams) if beams > 1 else greedy(logprobs, head.blank)


def decode(model: CtcModel, request: Request, symbols: list[SymbolSpan], logprobs: Logs) -> Response:
    """`logprobs`: (frames, symbols)."""
    preprocessing, head = model.preprocessing, model.head
    words = to_words(symbols, model.manifest.labels)
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


def run(model: CtcModel, samples: Samples) -> Logs:
    """The log-probabilities of a recording, (frames, symbols)."""
    with step("encode"):
        chunks = encode(model, samples)
    with step("run"):
        outputs = [model.run(feeds)[0][0] for _, feeds in chunks]
    return join(list(map(log_probabilities, outputs)), [first for first, _ in chunks], model.head.blank)


def recognise_letters(model: CtcModel, request: Request, samples: Samples) -> tuple[Response, list[SymbolSpan]]:
    """Raises BadRequest."""
    parameters, language = request.parameters, model.head.language
    if parameters.language not in (None, language):
        reason = f"supports only {language!r}" if language else "does not know its language; leave `language` out"
        raise BadRequest(f"This model {reason}", param="language")
    if parameters.task == "translate":
        raise BadRequest("This model does not translate", param="task")
    if parameters.prompt:
        raise BadRequest("This model does not take a `prompt`; leave it out", param="prompt")
    logprobs = run(model, samples)
    with step("decode"):
        symbols = find_symbols(model, parameters, logprobs)
        return decode(model, request, symbols, logprobs), symbols


def recognise_words(
    model: Model[AudioPreprocessing, Whisper], request: Request, samples: Samples
) -> tuple[Response, Transcript]:
    """Raises BadRequest."""
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
    return Response(transcript.text, chunks if timestamps else UNSET, transcript.language), transcript


def read(model: Model[AudioPreprocessing, Any], recording: bytes) -> Samples:
    """The samples of a recording. Raises BadRequest, PayloadTooLarge, UnsupportedMedia."""
    with step("read"):
        return read_audio(recording, model.preprocessing.rate, model.manifest.limits.seconds or MAX_SECONDS)


def predict(model: Model[AudioPreprocessing, Any], request: Request) -> Prediction:
    """Raises BadRequest, PayloadTooLarge, UnsupportedMedia."""
    samples, tokens = read(model, request.inputs), 0
    if isinstance(model.head, Whisper):
        response, transcript = recognise_words(model, request, samples)
        tokens = transcript.tokens
    else:
        response, _ = recognise_letters(model, request, samples)
    return Prediction(response, usage_of(model, samples, tokens))


def usage_of(model: Model[AudioPreprocessing, Any], samples: Samples, tokens: int) -> Usage:
    return Usage(seconds=round(len(samples) / model.preprocessing.rate, 3), output_tokens=tokens)


def subject(model: Model[AudioPreprocessing, Any], request: Request, options: ExplainOptions) -> Subject:
    """What an explanation of the transcript is of. Raises BadRequest, PayloadTooLarge, UnsupportedMedia."""
    from hearth.tasks.explanation.transcript import spoken_letters, spoken_words

    samples = read(model, request.inputs)
    if isinstance(model.head, Whisper):
        response, transcript = recognise_words(model, request, samples)
        prediction = Prediction(response, usage_of(model, samples, transcript.tokens))
        reader = partial(read, model)
        return spoken_words(model, request.inputs, options, prediction, transcript.windows, reader)
    response, spans = recognise_letters(model, request, samples)
    prediction = Prediction(response, usage_of(model, samples, 0))

    def logprobs_of(recording: bytes) -> Logs:
        return run(model, read(model, recording))

    symbols = [span.symbol for span in spans]
    labels, blank = model.manifest.labels, model.head.blank
    return spoken_letters(request.inputs, options, prediction, labels, blank, logprobs_of, symbols)


# The example is twenty milliseconds of silence as WAV.
TASKS = (
    explainable(
        Task(
            "automatic-speech-recognition",
            Request,
            ResponseOrExplained,
            predict,
            {
                "inputs": "UklGRjgAAABXQVZFZm10IBAAAAABAAEA6AMAAOgDAAABAAgAZGF0YRQAAACAgICAgICAgICAgICAgICAgICAgA==",
                "parameters": {"return_timestamps": "word"},
            },
            subject=subject,
        )
    ),
)
handler = create_handler(TASKS)
