"""POST /v1/audio/transcriptions and /v1/audio/translations: a form with a file."""

from __future__ import annotations

import zlib
from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from hearth import strict_json
from hearth.errors import BadRequest
from hearth.models.heads import Ctc
from hearth.ops.audio.subtitles import TimedWord, to_lines, to_srt, to_vtt
from hearth.protocols import form
from hearth.protocols.base import Request, Response
from hearth.protocols.openai import common

FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
REFUSED = {
    "stream": ("false", "0", ""),
    "task": ("transcribe", ""),
    "include[]": (),
    "include": (),
    "known_speaker_names[]": (),
    "known_speaker_references[]": (),
}
"""Fields that change the answer, and the values with which they do not."""
PLAIN_TEXT = "text/plain; charset=utf-8"


class TranscriptionWord(Struct, frozen=True):
    word: str
    start: float
    end: float


class TranscriptionSegment(Struct, frozen=True):
    """`tokens` is empty and `seek` is 0: not all models have tokens and windows."""

    id: int
    start: float
    end: float
    text: str
    avg_logprob: float
    compression_ratio: float
    temperature: float = 0.0
    no_speech_prob: float = 0.0
    """Always 0, because a segment has words."""
    seek: int = 0
    tokens: list[int] = []


class Transcription(Struct, frozen=True):
    text: str
    """The only field except with `verbose_json`."""
    task: Literal["transcribe", "translate"] | UnsetType = UNSET
    language: str | UnsetType = UNSET
    duration: float | UnsetType = UNSET
    """Seconds."""
    words: list[TranscriptionWord] | UnsetType = UNSET
    segments: list[TranscriptionSegment] | UnsetType = UNSET


def create_transcription(request: Request) -> Response:
    return _create(request, "transcribe")


def create_translation(request: Request) -> Response:
    """A transcription in English, whatever is spoken."""
    return _create(request, "translate")


def _create(request: Request, kind: Literal["transcribe", "translate"]) -> Response:
    fields, audio = parse_form(request)
    name, response_format = fields["model"][0], fields.get("response_format", ["json"])[-1]
    task, model = common.open_model(request, name, "automatic-speech-recognition")
    if response_format not in FORMATS:
        raise BadRequest(f"`response_format` must be one of {', '.join(FORMATS)}", param="response_format")
    granularities = fields.get("timestamp_granularities[]", []) + fields.get("timestamp_granularities", [])
    if set(granularities) - {"word", "segment"} or (granularities and response_format != "verbose_json"):
        message = "`timestamp_granularities` must be word or segment, and needs verbose_json"
        raise BadRequest(message, param="timestamp_granularities")
    recognises_letters = isinstance(model.head, Ctc)
    if "word" in granularities and not recognises_letters:
        message = "This model has no times of words, only of segments"
        raise BadRequest(message, param="timestamp_granularities")
    _refuse_unsupported(fields)
    parameters = {
        "return_timestamps": response_format in ("srt", "vtt", "verbose_json"),
        "language": main_subtag(fields.get("language", [""])[-1]) or None,
        "prompt": "" if recognises_letters else fields.get("prompt", [""])[-1],
        "task": kind,
    }
    payload = strict_json.convert({"inputs": audio, "parameters": parameters}, task.request)
    try:
        prediction = task.predict(model, payload)
    except BadRequest as error:
        raise common.with_param(error, error.param or "file") from None
    output, usage = prediction.output, prediction.usage
    if response_format == "json":
        return Response(msgspec.json.encode(Transcription(output.text)), usage=usage)
    if response_format == "text":
        return Response(output.text.encode() + b"\n", PLAIN_TEXT, usage=usage)
    words = [TimedWord(chunk.text, *chunk.timestamp) for chunk in output.chunks]
    lines = to_lines(words) if recognises_letters else [[sentence] for sentence in words]
    if response_format != "verbose_json":
        write = to_srt if response_format == "srt" else to_vtt
        return Response(write(lines).encode(), PLAIN_TEXT, usage=usage)
    logprobs = iter(chunk.logprob for chunk in output.chunks)
    segments = [_segment(number, line, [next(logprobs) for _ in line]) for number, line in enumerate(lines)]
    transcription = Transcription(
        output.text,
        kind,
        output.language or getattr(model.head, "language", "") or "unknown",
        usage.seconds,
        [TranscriptionWord(word.text, word.start, word.end) for word in words] if "word" in granularities else UNSET,
        segments if "segment" in granularities or not granularities else UNSET,
    )
    return Response(msgspec.json.encode(transcription), usage=usage)


def _segment(number: int, line: list[TimedWord], logprobs: list[float]) -> TranscriptionSegment:
    text = " ".join(word.text for word in line)
    ratio = len(text.encode()) / len(zlib.compress(text.encode()))
    mean = sum(logprobs) / len(logprobs)
    return TranscriptionSegment(number, line[0].start, line[-1].end, text, mean, ratio)


def _refuse_unsupported(fields: dict[str, list[str]]) -> None:
    """Raise BadRequest for options that would change the answer and that no model here supports.

    A chunking strategy is a hint, as is a prompt to a model that recognises letters; a temperature matters to models
    that sample. All are ignored.
    """
    try:
        temperature = float(fields.get("temperature", ["0"])[-1] or 0)
    except ValueError:
        temperature = -1
    if not 0 <= temperature <= 1:
        raise BadRequest("`temperature` must be a number from 0 to 1", param="temperature")
    for name, harmless in REFUSED.items():
        if any(value.lower() not in harmless for value in fields.get(name, [])):
            field = name.removesuffix("[]")
            raise BadRequest(f"No model here supports this value of `{field}`; leave it out", param=field)


def main_subtag(language: str) -> str:
    """The main subtag of a language tag, in lower case: `en` for `en-US` and `EN_us`."""
    return language.strip().replace("_", "-").partition("-")[0].lower()


def parse_form(request: Request) -> tuple[dict[str, list[str]], bytes]:
    """The form's fields, `model` among them, and the file. Raises BadRequest."""
    if not form.is_form(request):
        raise BadRequest("Send the recording as `file` of a form (Content-Type: multipart/form-data)", param="file")
    fields, files = form.read_form(request)
    recordings = [content for name, content in files if name == "file"]
    for name, received in (("file", recordings), ("model", fields.get("model", []))):
        if not received:
            raise BadRequest(f"The form has no `{name}`", param=name)
    return fields, recordings[-1]
