"""POST /v1/audio/transcriptions: forms, formats, and refusals."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
from starlette.testclient import TestClient

from hearth.errors import BadRequest
from hearth.ops.audio.subtitles import TimedWord
from hearth.protocols.base import Request
from hearth.protocols.openai.transcriptions import _segment, parse_form
from tests.support import ROOT

MODEL = "deepspeech-digits"
DIGITS = (ROOT / "functions/catalog/page/digits.mp3").read_bytes()


def post(client: TestClient, *, file: bytes = DIGITS, **fields: Any) -> Any:
    return client.post(
        "/v1/audio/transcriptions", data={"model": MODEL, **fields}, files={"file": ("digits.mp3", file)}
    )


def test_a_transcription_is_json_or_text(client: TestClient) -> None:
    document = post(client).json()
    assert document.keys() == {"text"}
    assert len(document["text"].split()) > 2
    plain = post(client, response_format="text")
    assert plain.headers["content-type"] == "text/plain; charset=utf-8"
    assert plain.text == document["text"] + "\n"


def test_subtitles_have_times(client: TestClient) -> None:
    srt, vtt = (post(client, response_format=name) for name in ("srt", "vtt"))
    assert srt.text.startswith("1\n00:00:0")
    assert " --> " in srt.text
    assert vtt.text.startswith("WEBVTT\n\n00:00:0")
    assert srt.headers["content-type"] == vtt.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("granularities", "present"),
    [
        ([], {"segments"}),
        (["word"], {"words"}),
        (["segment"], {"segments"}),
        (["word", "segment"], {"words", "segments"}),
    ],
)
def test_verbose_json_has_the_requested_times(client: TestClient, granularities: list[str], present: set[str]) -> None:
    document = post(client, response_format="verbose_json", **{"timestamp_granularities[]": granularities}).json()
    assert document.keys() == {"text", "task", "language", "duration"} | present
    assert (document["task"], document["language"]) == ("transcribe", "en")
    assert document["duration"] > 1
    if "words" in present:
        assert " ".join(word["word"] for word in document["words"]) == document["text"]
        times = [time for word in document["words"] for time in (word["start"], word["end"])]
        assert times == sorted(times)
    if "segments" in present:
        assert " ".join(segment["text"] for segment in document["segments"]) == document["text"]
        assert [segment["id"] for segment in document["segments"]] == list(range(len(document["segments"])))
        assert all(segment["avg_logprob"] <= 0 < segment["compression_ratio"] for segment in document["segments"])


def test_a_segment_spans_its_words() -> None:
    line = [TimedWord("ab", 1.0, 1.5), TimedWord("cd", 2.0, 2.5)]
    segment = _segment(3, line, [-1.0, -2.0])
    assert (segment.id, segment.start, segment.end, segment.text, segment.avg_logprob) == (3, 1.0, 2.5, "ab cd", -1.5)
    assert segment.compression_ratio == 5 / len(zlib.compress(b"ab cd"))


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"response_format": "diarized_json"}, 400, "response_format"),
        ({"timestamp_granularities[]": ["word"]}, 400, "timestamp_granularities"),
        ({"timestamp_granularities[]": ["letter"], "response_format": "verbose_json"}, 400, "timestamp_granularities"),
        ({"language": "de"}, 400, "language"),
        ({"temperature": "7"}, 400, "temperature"),
        ({"temperature": "warm"}, 400, "temperature"),
        ({"stream": "true"}, 400, "stream"),
        ({"model": "none"}, 404, "model"),
        ({"model": "sentiment-en"}, 404, "model"),
        ({"file": b"not a sound"}, 415, "file"),
    ],
)
def test_an_error_names_the_field(client: TestClient, fields: dict[str, Any], status: int, param: str) -> None:
    response = post(client, **fields)
    assert (response.status_code, response.json()["error"]["param"]) == (status, param), response.text


def form(*parts: str, boundary: str = "x") -> Request:
    lines = [f"--x\r\nContent-Disposition: form-data; {part}\r\n" for part in parts]
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    return Request((), ("".join(lines) + "--x--\r\n").encode(), headers=headers)


FILE, NAME = 'name="file"; filename="a"\r\n\r\nsound', 'name="model"\r\n\r\nm'


def test_a_form_has_fields_and_a_file() -> None:
    fields, audio = parse_form(form(NAME, FILE, 'name="language"\r\n\r\nen', 'name="language"\r\n\r\nü'))
    assert fields == {"model": ["m"], "language": ["en", "ü"]}
    assert audio == b"sound"


def test_a_large_file_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    for name in ("NamedTemporaryFile", "TemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, lambda *_, **__: pytest.fail("written to disk"))
    large = "s" * 3_000_000
    assert len(parse_form(form(NAME, f'name="file"; filename="a"\r\n\r\n{large}'))[1]) == 3_000_000


@pytest.mark.parametrize(
    ("request_", "message", "param"),
    [
        (
            Request((), b"{}", headers={"content-type": "application/json"}),
            "Send the recording as `file` of a form",
            "file",
        ),
        (Request((), b"{}"), "Send the recording as `file` of a form", "file"),
        (form(NAME, FILE, boundary="other"), "does not match the boundary in Content-Type", None),
        (Request((), b"", headers={"content-type": "multipart/form-data"}), "cannot be read", None),
        (form(NAME), "The form has no `file`", "file"),
        (form(FILE), "The form has no `model`", "model"),
    ],
)
def test_another_form_is_refused(request_: Request, message: str, param: str | None) -> None:
    with pytest.raises(BadRequest, match=message) as raised:
        parse_form(request_)
    assert raised.value.param == param
