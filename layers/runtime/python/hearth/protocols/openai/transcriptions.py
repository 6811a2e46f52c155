"""POST /v1/audio/transcriptions: a form with a file."""

from __future__ import annotations

import zlib
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from hearth import strict_json
from hearth.errors import BadRequest, HearthError
from hearth.models.cache import manifest_of
from hearth.models.manifest import Ctc
from hearth.ops.audio.subtitles import Spoken, lines, srt, vtt
from hearth.protocols.base import Answer, Call
from hearth.protocols.openai import common
from hearth.telemetry import timing

FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
FIELDS = {
    "model",
    "language",
    "prompt",
    "response_format",
    "temperature",
    "timestamp_granularities[]",
    "stream",
}


class Word(Struct, frozen=True):
    word: str
    start: float
    end: float


class Segment(Struct, frozen=True):
    """There are no tokens and no windows in a network that hears letters, so `tokens` is empty and `seek` 0."""

    id: int
    start: float
    end: float
    text: str
    avg_logprob: float
    compression_ratio: float
    temperature: float = 0.0
    no_speech_prob: float = 0.0
    """A line is made of words, so somebody spoke."""
    seek: int = 0
    tokens: list[int] = []


class Transcription(Struct, frozen=True):
    text: str
    """Alone, unless `verbose_json` is asked for."""
    task: Literal["transcribe"] | UnsetType = UNSET
    language: str | UnsetType = UNSET
    duration: float | UnsetType = UNSET
    """Seconds."""
    words: list[Word] | UnsetType = UNSET
    segments: list[Segment] | UnsetType = UNSET


def transcriptions(call: Call) -> Answer:
    fields, sound = parse(call)
    name, shape = fields["model"][0], fields.get("response_format", ["json"])[-1]
    task = common.task(call, name, "automatic-speech-recognition")
    if shape not in FORMATS:
        raise BadRequest(f"`response_format` must be one of {', '.join(FORMATS)}", param="response_format")
    wanted = fields.get("timestamp_granularities[]", [])
    if set(wanted) - {"word", "segment"} or (wanted and shape != "verbose_json"):
        words = "`timestamp_granularities` must be word or segment, and goes with verbose_json"
        raise BadRequest(words, param="timestamp_granularities")
    head = manifest_of(name).head
    language = head.language if isinstance(head, Ctc) else ""
    _refuse(fields, language)
    timed = shape in ("srt", "vtt", "verbose_json")
    request = strict_json.convert({"inputs": sound, "parameters": {"return_timestamps": timed}}, task.request)
    try:
        answer = task.predict(name, request)
    except HearthError as failure:
        failure.param = "file"
        raise
    if shape == "json":
        return Answer(msgspec.json.encode(Transcription(answer.text)))
    if shape == "text":
        return Answer(answer.text.encode() + b"\n", "text/plain; charset=utf-8")
    words_heard = [Spoken(chunk.text, *chunk.timestamp) for chunk in answer.chunks]
    if shape != "verbose_json":
        return Answer((srt if shape == "srt" else vtt)(words_heard).encode(), "text/plain; charset=utf-8")
    sure = iter(chunk.logprob for chunk in answer.chunks)
    segments = [_segment(number, line, [next(sure) for _ in line]) for number, line in enumerate(lines(words_heard))]
    verbose = Transcription(
        answer.text,
        "transcribe",
        language or "unknown",
        float(timing.current().facts["seconds"]),
        [Word(word.text, word.start, word.end) for word in words_heard] if "word" in wanted else UNSET,
        segments if "segment" in wanted or not wanted else UNSET,
    )
    return Answer(msgspec.json.encode(verbose))


def _segment(number: int, line: list[Spoken], sure: list[float]) -> Segment:
    text = " ".join(word.text for word in line)
    ratio = len(text.encode()) / len(zlib.compress(text.encode()))
    return Segment(number, line[0].start, line[-1].end, text, sum(sure) / len(sure), ratio)


def _refuse(fields: dict[str, list[str]], language: str) -> None:
    """What a network of letters cannot do."""
    said = fields.get("language", [""])[-1]
    if said not in ("", language):
        known = f"hears {language!r} alone" if language else "does not know its language; leave `language` out"
        raise BadRequest(f"This model {known}", param="language")
    if any(fields.get("prompt", [])):
        raise BadRequest("No model here can be given a `prompt`; leave it out", param="prompt")
    if fields.get("temperature", ["0"])[-1] not in ("0", "0.0", ""):
        raise BadRequest("`temperature` can only be 0: the likeliest text is what is heard", param="temperature")
    if fields.get("stream", ["false"])[-1].lower() not in ("false", "0", ""):
        raise BadRequest("A transcription cannot be streamed; leave `stream` out", param="stream")


def parse(call: Call) -> tuple[dict[str, list[str]], bytes]:
    """The form's fields, `model` among them, and the file. Raises BadRequest."""
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import create_form_parser

    kind = call.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        raise BadRequest("Send the recording as `file` of a form (Content-Type: multipart/form-data)", param="file")
    fields: dict[str, list[str]] = {}
    files: dict[str, bytes] = {}

    def on_field(field: Any) -> None:
        fields.setdefault((field.field_name or b"").decode("utf-8", "replace"), []).append(
            (field.value or b"").decode("utf-8", "replace")
        )

    def on_file(file: Any) -> None:
        file.file_object.seek(0)
        files[(file.field_name or b"").decode("utf-8", "replace")] = file.file_object.read()

    # The body is in memory already; nothing of it may be written to a disk, which the parser does from 1 MiB on.
    memory = {"MAX_MEMORY_FILE_SIZE": len(call.body) + 1}
    try:
        parser = create_form_parser({"Content-Type": kind.encode("latin-1")}, on_field, on_file, config=memory)
        parser.write(call.body)
        parser.finalize()
    except (FormParserError, ValueError):
        raise BadRequest("The form cannot be read: it is not divided as the boundary in Content-Type says") from None
    unknown = sorted((fields.keys() - FIELDS) | (files.keys() - {"file"}))
    if unknown:
        field = strict_json.told(unknown[0])
        raise BadRequest(f"The field {field} is not supported here; leave it out", param=field.strip("`"))
    for name, found in (("file", files), ("model", fields)):
        if name not in found:
            raise BadRequest(f"The form has no `{name}`", param=name)
    return fields, files["file"]
